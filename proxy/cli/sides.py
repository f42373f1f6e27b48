"""
Does an address answer? The only room that knows httpx, for the doctor.
"""

from __future__ import annotations

import httpx


async def health_of(url: str, patience_s: float) -> tuple[int | None, str]:
    """
    Return (status, what took how long) of a GET, or (None, why not).

    No redirect is followed and no proxy of the environment is asked: the gateway does neither.
    """
    try:
        async with httpx.AsyncClient(timeout=max(patience_s, 0.1), trust_env=False) as client:
            answer = await client.get(url)
    except httpx.TimeoutException:
        return None, f"no answer within {patience_s:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        return None, str(exc) or type(exc).__name__
    return answer.status_code, f"in {answer.elapsed.total_seconds() * 1000:.0f} ms"
