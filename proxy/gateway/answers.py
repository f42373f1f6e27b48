"""
Answers that Banyan makes itself: problem documents (RFC 9457) with Proxy-Status (RFC 9209), worded and framed.

Not hot. Texts come from us, never from a peer's bytes.
"""

from __future__ import annotations

from email.utils import formatdate

import orjson

TITLES = {
    400: "Bad request", 404: "Not found", 405: "Method not allowed", 408: "Request timed out", 414: "Target too long",
    417: "Expectation not met", 431: "Header fields too large", 501: "Not implemented", 502: "The application failed",
    503: "Not available now", 504: "The application did not answer in time", 505: "HTTP version not supported",
    508: "Loop detected",
}  # fmt: skip


def problem(status: int, detail: str, via_name: bytes, error: str = "", retry_after_s: int = 0) -> tuple[bytes, bytes]:
    """
    Return (ready-joined fields without Content-Length, body) of a problem document.

    `error` is a proxy error type of RFC 9209 section 2.3; empty when the request was at fault.
    """
    title = TITLES.get(status, "Error")
    body = orjson.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    date = formatdate(usegmt=True).encode()
    told = proxy_status(via_name, error or "http_request_error", detail)
    fields = b"content-type: application/problem+json\r\ncache-control: no-store\r\n"
    fields += b"date: %b\r\nproxy-status: %b\r\n" % (date, told)
    if retry_after_s:
        fields += b"retry-after: %d\r\n" % retry_after_s
    return fields, body


def proxy_status(via_name: bytes, error: str, detail: str, next_hop: str = "") -> bytes:
    """Return one member of Proxy-Status; `error` may be empty, `detail` becomes a quoted string."""
    quoted = "".join(char if " " <= char <= "~" else "?" for char in detail).replace("\\", "\\\\").replace('"', '\\"')
    parts = [via_name.decode("latin-1")]
    if next_hop:
        parts.append(f"next-hop={next_hop}")
    if error:
        parts.append(f"error={error}")
    parts.append(f'details="{quoted}"')
    return "; ".join(parts).encode("latin-1")
