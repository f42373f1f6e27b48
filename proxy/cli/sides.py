"""
Does an address answer? The only room that knows httpx, for the doctor.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx


async def health_of(
    url: str,
    patience_s: float,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    fields: Mapping[str, str] | None = None,
) -> tuple[int | None, str]:
    """
    Return (status, what took how long) of a GET, or (None, why not).

    No redirect is followed and no proxy of the environment is asked: the gateway does neither. An https url needs
    `tls`, the context that the gateway would use, and the name that the certificate must have.
    """
    named = {"sni_hostname": server_name} if server_name else {}
    try:
        async with httpx.AsyncClient(timeout=max(patience_s, 0.1), trust_env=False, verify=tls or False) as client:
            answer = await client.get(url, extensions=named, headers=fields)
    except httpx.TimeoutException:
        return None, f"no answer within {patience_s:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        return None, str(exc) or type(exc).__name__
    return answer.status_code, f"in {answer.elapsed.total_seconds() * 1000:.0f} ms"
