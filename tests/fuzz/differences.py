"""
What a side or a caller got, held against what it should have got: field by field, byte by byte.

Each function says in a sentence what differs; empty if nothing does.
"""

from __future__ import annotations

from tests.fuzz.answers import Answer
from tests.fuzz.peers import Asked
from tests.fuzz.reader import GOOD, OPEN, TORN, VALIDATORS, WHOLE, Outcome, Planned

_FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"upgrade"}


def request_differs(planned: Planned, asked: Asked) -> str:
    """Say how what a side got differs from what was planned; empty if in nothing."""
    head = asked.head
    if head.first[:2] != (planned.method, planned.target):
        return f"{planned.method!r} {planned.target!r} became {head.first}"
    wanted = planned.fields
    if asked.line.side == "modern":  # the validators are legacy's, who takes the writes
        gone = VALIDATORS | ({b"range"} if any(name == b"if-range" for name, _ in wanted) else set())
        if any(name in VALIDATORS for name, _ in wanted):
            wanted = [each for each in wanted if each[0] not in gone]
    fields = [each for each in head.fields if each[0] not in _FRAMING]
    ours = {b"via": b"1.1 banyan", b"x-forwarded-for": asked.address, b"x-forwarded-proto": b"http"}
    if planned.host:
        ours |= {b"host": planned.host, b"x-forwarded-host": planned.host}
    for name, value in ours.items():
        if (name, value) not in fields:
            return f"{name!r}: {value!r} is missing in {head.fields}"
        fields.remove((name, value))
    fields = [each for each in fields if each[0] != b"x-request-id" and (planned.host or each[0] != b"host")]
    if fields != wanted:
        return f"{planned.target!r}: {wanted} became {fields}"
    if planned.upgrade != asked.upgrade or (head.values(b"connection") != ([b"upgrade"] if asked.upgrade else [])):
        return f"{planned.target!r}: Upgrade {planned.upgrade!r} became {head.fields}"
    return _body_differs(planned, asked)


def _body_differs(planned: Planned, asked: Asked) -> str:
    body = planned.body
    if asked.whole and body.state != WHOLE:
        return f"{planned.target!r}: half a body of {len(body.data)} bytes became a whole one of {len(asked.body)}"
    if (asked.whole and asked.body != body.data) or not body.data.startswith(bytes(asked.body)):
        return f"{planned.target!r}: the body {body.data[:200]!r} became {bytes(asked.body[:200])!r}"
    if planned.length > 0 and asked.length != planned.length:
        return f"{planned.target!r}: {planned.length} bytes of body were declared as {asked.length}"
    return ""


def answer_differs(asked: Asked, outcome: Outcome, answer: Answer) -> str:
    """Say why an answer is not what a side said; empty if it is, as far as it came."""
    if outcome.kind not in (GOOD, TORN, OPEN) or not outcome.status:
        return f"the side's bytes are {outcome.kind}: {bytes(asked.sent[:300])!r}"
    if answer.status != outcome.status:
        return f"the side said {outcome.status}"
    why = answer_fields_differ(asked, outcome, answer)
    if why:
        return why
    if not outcome.body.startswith(answer.body) or (answer.complete and outcome.body != answer.body):
        return f"the side's body was {outcome.body[:200]!r}"
    declared = answer.values(b"content-length")
    told = outcome.length is not None and answer.counted and answer.status != 204
    if told and declared != [b"%d" % int(outcome.length or 0)]:
        return f"the side declared {outcome.length!r}"
    return ""


def answer_fields_differ(asked: Asked, outcome: Outcome, answer: Answer) -> str:
    wanted = outcome.fields
    if asked.line.side == "modern":
        wanted = [each for each in wanted if each[0] not in (b"etag", b"last-modified")]
    fields = [each for each in answer.fields if each[0] not in _FRAMING]
    side = (b"x-banyan-side", asked.line.side.encode())
    if side not in fields or (b"via", b"1.1 banyan") not in fields:
        return f"not from {asked.line.side}"
    at = max(n for n, each in enumerate(fields) if each == (b"via", b"1.1 banyan"))  # the side may have said so too
    del fields[at]
    fields = [each for each in fields if not each[0].startswith(b"x-banyan-")]
    fields = [each for each in fields if each[0] != b"proxy-status" or not each[1].startswith(b"banyan;")]
    return "" if fields == wanted else f"the side's fields were {wanted}"
