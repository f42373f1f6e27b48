"""
What may be told of a request: enough to ask the same again, and nothing that was meant for the sides only.

Ground floor. Allow-lists: a path parameter is shown if it is a number, a UUID or a plain word, a query value if it
pages or sorts. Everything else is `{name}`, which whoever asks again fills in; of header fields only names are told.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from proxy.core.messages import pairs_of
from proxy.core.names import is_word
from proxy.core.paths import normal_form
from proxy.core.routes import parse_template

MOST_PARAMETERS = 20  # of a query, and as many header fields
_PATH_LIMIT = 500

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:\.\.\.)?\}")
_NUMBER = re.compile(r"\d{1,19}", re.ASCII)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PLAIN = re.compile(r"[A-Za-z](?:[a-z]|[A-Z][a-z]{2,}|[-_](?=[A-Za-z]))*", re.ASCII)
_PLAIN_LIMIT = 40
_COUNT = re.compile(r"-?\d{1,4}", re.ASCII)
_OF_TWO = ("true", "false", "asc", "desc")
_PAGES = frozenset(  # what pages and sorts: a number in any other may be a PIN
    (
        "asc", "desc", "dir", "direction", "first", "last", "limit", "offset", "order", "order_by", "page", "page_size",
        "pagesize", "per_page", "perpage", "size", "skip", "sort", "sort_by", "start", "take", "top",
    )
)  # fmt: skip
_NAME_PARTS = re.compile(r"[\[\].]+")  # `filter[status]`, `user.name`

_OF_THE_HOP = frozenset(  # what clients send anyway and no side answers differently for
    (
        "accept-charset", "accept-encoding", "cache-control", "connection", "content-length", "date", "dnt",
        "forwarded", "host", "keep-alive", "origin", "pragma", "priority", "range", "referer", "save-data", "te",
        "traceparent", "tracestate", "upgrade-insecure-requests", "user-agent", "via", "x-request-id",
    )
)  # fmt: skip
_OF_THE_HOP_TOO = ("if-", "sec-", "x-forwarded-", "x-banyan-")


def shown_path(route: str, target: bytes) -> str:
    """Return the path of a request to `route` (`GET /api/users/{id}`), with `{name}` for what may not be shown."""
    template = parse_template(route)
    pattern = template.text.rpartition(" ")[2].split("/")[1:]
    given = normal_form(target.partition(b"?")[0])[0].decode("latin-1").split("/")[1:]
    shown = []
    for index, literal in enumerate(template.shape):
        field = _FIELD.fullmatch(pattern[index])
        if field is None:
            shown.append(literal.decode("latin-1"))
            continue
        rest = given[index:] if field[0].endswith("...}") else given[index : index + 1]
        shown.append("/".join(rest) if rest and all(map(_may_stand, rest)) else f"{{{field[1]}}}")
    path = "/" + "/".join(shown)
    return path if len(path) <= _PATH_LIMIT else template.text.rpartition(" ")[2][:_PATH_LIMIT].replace("...}", "}")


def _may_stand(segment: str) -> bool:
    if _NUMBER.fullmatch(segment) or _UUID.fullmatch(segment):
        return True
    return len(segment) <= _PLAIN_LIMIT and _PLAIN.fullmatch(segment) is not None and is_word(segment)


def shown_query(target: bytes) -> tuple[str, ...]:
    """Return the parameters of a query as `page=2` or `q={q}`; `*={*}` where not even the name may be shown."""
    query = target.partition(b"?")[2].decode("latin-1")
    return tuple(_parameter(each) for each in query.split("&")[:MOST_PARAMETERS] if each)


def _parameter(text: str) -> str:
    raw, equals, value = text.partition("=")
    name = unquote_plus(raw)
    parts = [part for part in _NAME_PARTS.split(name) if part]
    if not parts or not all(map(is_word, parts)):
        name = "*"
    if not equals:
        return name
    is_shown = value in _OF_TWO or (_COUNT.fullmatch(value) and name.lower() in _PAGES)
    return f"{name}={value if is_shown else f'{{{name}}}'}"


def needed_fields(fields: bytes) -> tuple[str, ...]:
    """Return the names of the header fields that an answer may depend on; `fields` are a request's header lines."""
    names = dict.fromkeys(name.decode("latin-1") for name, _ in pairs_of(fields))
    wanted = (name for name in names if name not in _OF_THE_HOP and not name.startswith(_OF_THE_HOP_TOO))
    return tuple(name for name in wanted if is_word(name))[:MOST_PARAMETERS]
