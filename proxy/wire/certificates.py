"""
TLS contexts made from files: what a listener shows its clients, what a connection to a side trusts and shows.

The only room that says how TLS is spoken: versions, names, verification. Reads the files that it is given, and says
which of them is wrong and why; it neither watches them nor keeps what it made.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

PROTOCOL = "http/1.1"  # the one name for ALPN (RFC 7301): there is nothing else to choose
_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class BadCertificate(Exception):
    """A file that no context can be made of; `key` is the setting that names it, the text says why."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(why)
        self.key = key


@dataclass(frozen=True, slots=True)
class ServingFiles:
    """What a listener shows its clients, and whose certificates it takes from them; all files are PEM."""

    cert: Path  # its certificate first, then those between it and a root
    key: Path | None = None  # of the first certificate; None: it stands in `cert`
    client_ca: Path | None = None
    client_certificates: str = "none"  # or optional, required

    def context(self) -> ssl.SSLContext:
        """Return the context for new connections of clients. Raises BadCertificate."""
        context = _strict(ssl.PROTOCOL_TLS_SERVER)
        _load_chain(context, self.cert, self.key)
        if self.client_ca is not None:
            _load_roots(context, self.client_ca, "client_ca")
        context.verify_mode = _MODES[self.client_certificates]
        return context

    def contents(self) -> tuple[bytes | None, ...]:
        """Return what stands in the files; None for one that cannot be read."""
        return _contents(self.cert, self.key, self.client_ca)


@dataclass(frozen=True, slots=True)
class DialingFiles:
    """Whom connections to a side trust, and what they show when they are asked; all files are PEM."""

    ca: Path | None = None  # None: what the system trusts
    verify: bool = True
    cert: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for new connections to the side. Raises BadCertificate."""
        context = _strict(ssl.PROTOCOL_TLS_CLIENT)
        if self.cert is not None:
            _load_chain(context, self.cert, self.key)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is not None:
            _load_roots(context, self.ca, "ca")
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context

    def contents(self) -> tuple[bytes | None, ...]:
        """Return what stands in the files; None for one that cannot be read."""
        return _contents(self.ca, self.cert, self.key)


def _strict(role: int) -> ssl.SSLContext:
    """Ciphers and curves are those of the ssl module; versions before 1.2 are forbidden by RFC 8996."""
    context = ssl.SSLContext(role)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([PROTOCOL])
    return context


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    _readable(cert, "cert")
    if key is not None:
        _readable(key, "key")
    protected = False

    def no_passphrase() -> str:
        nonlocal protected
        protected = True
        return ""  # and never a question on the terminal

    try:
        context.load_cert_chain(cert, key, no_passphrase)
    except (ssl.SSLError, OSError) as exc:
        named = "cert" if key is None else "key"
        if protected:
            why = f"{key or cert} holds a key with a passphrase; give one without"
        elif getattr(exc, "reason", "") == "KEY_VALUES_MISMATCH":
            why = f"{key or cert} does not hold the key of the certificate in {cert}"
        elif not _has_certificate(cert):
            named, why = "cert", f"{cert} holds no certificate in PEM"
        else:
            why = f"{key or cert} holds no key in PEM that can be used{_reason(exc)}"
        raise BadCertificate(named, why) from exc


def _load_roots(context: ssl.SSLContext, path: Path, key: str) -> None:
    _readable(path, key)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as exc:
        raise BadCertificate(key, f"{path} holds no certificate in PEM{_reason(exc)}") from exc


def _readable(path: Path, key: str) -> None:
    try:
        path.read_bytes()
    except OSError as exc:
        raise BadCertificate(key, f"{path} cannot be read: {exc.strerror or exc}") from exc


def _has_certificate(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, OSError):
        return False
    return True


def _reason(exc: Exception) -> str:
    reason = getattr(exc, "reason", None)
    return f" ({reason.replace('_', ' ').lower()})" if reason else ""


def _contents(*paths: Path | None) -> tuple[bytes | None, ...]:
    return tuple(_content(path) for path in paths if path is not None)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
