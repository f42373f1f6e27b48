"""Contexts made of files: what they allow, and which file is named when none can be made."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from proxy.wire.certificates import BadCertificate, DialingFiles, ServingFiles
from tests import pki


def refused(files: ServingFiles | DialingFiles) -> tuple[str, str]:
    with pytest.raises(BadCertificate) as bad:
        files.context()
    return bad.value.key, str(bad.value)


def test_a_listener_shows_its_certificate_and_speaks_no_old_version():
    context = ServingFiles(pki.server_cert(), pki.key_of(pki.server_cert())).context()

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_certificate_and_key_may_stand_in_one_file(tmp_path: Path):
    both = tmp_path / "both.pem"
    both.write_bytes(pki.server_cert().read_bytes() + pki.key_of(pki.server_cert()).read_bytes())

    assert ServingFiles(both).context()
    assert DialingFiles(cert=both, verify=False).context()


@pytest.mark.parametrize(("mode", "verify"), [("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)])
def test_clients_are_asked_for_certificates(mode, verify):
    cert = pki.server_cert()

    assert ServingFiles(cert, pki.key_of(cert), pki.authority().root, mode).context().verify_mode is verify


def test_a_side_is_verified_unless_somebody_said_otherwise():
    for files in (DialingFiles(), DialingFiles(ca=pki.authority().root)):
        context = files.context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    context = DialingFiles(verify=False).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_the_file_at_fault_is_named(tmp_path: Path):
    cert, key = pki.server_cert(), pki.key_of(pki.server_cert())
    missing, empty, other = tmp_path / "missing.pem", tmp_path / "empty.pem", tmp_path / "other.key"
    empty.write_text("nothing\n")
    shutil.copy(pki.key_of(pki.authority().signed("other")), other)

    assert refused(ServingFiles(missing, key)) == ("cert", f"{missing} cannot be read: No such file or directory")
    assert refused(ServingFiles(tmp_path, key)) == ("cert", f"{tmp_path} cannot be read: Is a directory")
    assert refused(ServingFiles(cert, missing))[0] == "key"
    assert refused(ServingFiles(cert, other)) == ("key", f"{other} does not hold the key of the certificate in {cert}")
    assert refused(ServingFiles(empty, key)) == ("cert", f"{empty} holds no certificate in PEM")
    assert refused(ServingFiles(key, key))[0] == "cert"
    assert refused(ServingFiles(cert, empty))[0] == "key"
    assert refused(ServingFiles(cert))[0] == "cert"
    assert refused(ServingFiles(cert, key, empty, "required"))[0] == "client_ca"
    assert refused(DialingFiles(ca=missing))[0] == "ca"
    assert refused(DialingFiles(ca=empty))[0] == "ca"
    assert refused(DialingFiles(cert=cert, key=missing))[0] == "key"


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path):
    cert, locked = pki.server_cert(), tmp_path / "locked.key"
    pki.openssl("pkey", "-in", pki.key_of(cert), "-aes256", "-passout", "pass:secret", "-out", locked)

    assert refused(ServingFiles(cert, locked)) == ("key", f"{locked} holds a key with a passphrase; give one without")


def test_the_contents_tell_whether_anything_changed(tmp_path: Path):
    cert = tmp_path / "cert.pem"
    files = ServingFiles(cert, client_ca=tmp_path / "ca.pem", client_certificates="optional")
    assert files.contents() == (None, None)

    cert.write_bytes(b"a")

    assert files.contents() == (b"a", None)
    assert DialingFiles().contents() == ()
