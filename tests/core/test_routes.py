from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.routes import SEGMENTS_LIMIT, EntityKey, RouteTrie, clashes, parse_template


def trie(*texts: str) -> RouteTrie[str]:
    return RouteTrie.compile([(parse_template(text), text) for text in texts])


DEMO = trie(
    "/api/users",
    "/api/users/{id}",
    "GET /api/users/{id}",
    "/api/users/search",
    "POST /api/users/import",
    "/api/{rest...}",
    "/api/users/{id}/posts/{post}",
    "/files/{path...}",
)


@pytest.mark.parametrize(
    ("method", "path", "route", "params"),
    [
        ("GET", "/api/users", "/api/users", ()),
        ("GET", "/api/users/42", "GET /api/users/{id}", ("42",)),
        ("HEAD", "/api/users/42", "GET /api/users/{id}", ("42",)),  # as GET, unless it has its own
        ("PUT", "/api/users/42", "/api/users/{id}", ("42",)),
        ("GET", "/api/users/search", "/api/users/search", ()),
        ("GET", "/api/users/search/x", "/api/{rest...}", ("users/search/x",)),
        ("POST", "/api/users/import", "POST /api/users/import", ()),
        ("GET", "/api/users/import", "GET /api/users/{id}", ("import",)),  # the way back from a literal
        ("GET", "/api/users/", "/api/{rest...}", ("users/",)),  # a parameter is never empty
        ("GET", "/api/users/7/posts/9", "/api/users/{id}/posts/{post}", ("7", "9")),
        ("GET", "/api/users/7/posts", "/api/{rest...}", ("users/7/posts",)),
        ("GET", "/api/", "/api/{rest...}", ("",)),
        ("GET", "/files/a/b", "/files/{path...}", ("a/b",)),
    ],
)
def test_the_most_literal_route_wins(method, path, route, params):
    assert DEMO.find(method.encode(), path.encode()) == (route, tuple(param.encode() for param in params))


@pytest.mark.parametrize("path", ["/", "/api", "/files", "/API/users", "/other/users/1"])
def test_what_no_route_matches_is_not_found(path):
    assert DEMO.find(b"GET", path.encode()) is None


def test_a_method_that_no_route_has_is_not_found():
    assert trie("GET /a").find(b"POST", b"/a") is None


def test_a_head_of_its_own_beats_the_one_of_get():
    own = trie("GET /a", "HEAD /a", "/a")

    assert own.find(b"HEAD", b"/a") == ("HEAD /a", ())
    assert own.find(b"GET", b"/a") == ("GET /a", ())
    assert own.find(b"POST", b"/a") == ("/a", ())


def test_an_empty_trie_finds_nothing():
    assert trie().find(b"GET", b"/") is None


SEGMENTS = st.sampled_from(["a", "b", "{}", "{...}"])
METHODS = st.sampled_from(["", "GET ", "POST ", "HEAD "])


def _template(method: str, shape: list[str]) -> str:
    last = len(shape) - 1
    named = [
        segment if segment in "ab" else f"{{p{at}...}}" if segment == "{...}" and at == last else f"{{p{at}}}"
        for at, segment in enumerate(shape)
    ]
    return f"{method}/{'/'.join(named)}"


TEMPLATES = st.lists(st.builds(_template, METHODS, st.lists(SEGMENTS, min_size=1, max_size=4)), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


def naive_find(texts: list[str], method: str, path: str) -> tuple[str, tuple[bytes, ...]] | None:
    """Try every template, segment by segment; of those that match the one with the smallest ranks wins."""
    found = []
    for order, text in enumerate(texts):
        template_method, _, template = text.rpartition(" ")
        ranks, params, asked = [], [], path.split("/")[1:]
        for segment in template.split("/")[1:]:
            if segment.endswith("...}"):
                ranks.append(2)
                params.append("/".join(asked) if asked else None)
                asked = []
            elif segment.startswith("{"):
                ranks.append(1)
                params.append(asked.pop(0) or None if asked else None)
            else:
                ranks.append(0)
                params.append("" if asked and asked.pop(0) == segment else None)
        method_rank = {method: 0, "": 2, "GET" if method == "HEAD" else method: 0 if template_method == method else 1}
        if asked or None in params or template_method not in method_rank:
            continue
        wanted = tuple(param.encode() for rank, param in zip(ranks, params, strict=True) if rank)
        found.append(((ranks, method_rank[template_method], order), (text, wanted)))
    return min(found, key=lambda match: match[0])[1] if found else None


@given(TEMPLATES, st.sampled_from(["GET", "POST", "HEAD", "PUT"]), PATHS)
def test_the_trie_agrees_with_trying_every_template(texts, method, path):
    assert trie(*texts).find(method.encode(), path.encode()) == naive_find(texts, method, path)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("/a/{id}", "/a/{name}", True),
        ("/a/{rest...}", "/a/{more...}", True),
        ("GET /a", "GET /a", True),
        ("/a", "/a/", False),
        ("GET /a", "/a", False),
        ("GET /a/{x}", "POST /a/{y}", False),
        ("/a/{x}", "/a/{x...}", False),
        ("/a/{x}/b", "/a/b/{x}", False),
        ("/caf%c3%a9", "/café", None),
    ],
)
def test_routes_of_the_same_shape_and_method_clash(first, second, same):
    if same is None:
        assert parse_template(second).shape == (b"caf%C3%A9",)
        return
    found = clashes([(parse_template(first), "first"), (parse_template(second), "second")])

    assert found == ([("first", "second")] if same else [])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("api/users", "should be a path like `/api/users/{id}`"),
        ("get /a", "a method is written in capitals, as in `GET /a`"),
        ("/a?b=1", "leave out `?` and `#`"),
        ("/a#b", "leave out `?` and `#`"),
        ("/a/{id}/{id}", "may stand only once"),
        ("/a/x{id}", "a parameter is a whole segment"),
        ("/a/{}", "a parameter is a whole segment"),
        ("/a/{1d}", "a parameter is a whole segment"),
        ("/a/{rest...}/b", "can only be its last segment"),
        ("/a/../b", "would never match: paths are matched in their normal form, here `/b`"),
        ("/a//b", "would never match"),
        ("/%41", "would never match: paths are matched in their normal form, here `/A`"),
        ("/a%2Fb", "would never match"),
        ("GET  /a b", "should be a path like"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_template(text)


def test_a_template_knows_its_method_and_its_names_in_order():
    template = parse_template("POST /a/{x}/{y...}")

    assert (template.method, template.names) == (b"POST", ("x", "y"))


def test_an_entity_key_comes_from_the_path_as_the_application_sees_it():
    template = parse_template("/{tenant}/users/{id}")
    key = EntityKey.of("{id}", template)

    assert not key.in_body
    assert key.of_path((b"acme", b"42")) == b"42"
    assert key.of_path((b"acme", b"caf%C3%A9")) == "café".encode()


@pytest.mark.parametrize(
    ("source", "body", "key"),
    [
        ("body:$.id", b'{"id": "42"}', b"42"),
        ("body:$.id", b'{"id": 42}', b"42"),
        ("body:$.user.id", b'{"user": {"id": "x"}}', b"x"),
        ("body:$[0].id", b'[{"id": 1}]', b"1"),
        ("body:$.id", b'{"id": true}', None),
        ("body:$.id", b'{"id": null}', None),
        ("body:$.id", b'{"id": ""}', None),
        ("body:$.id", b'{"id": 1.5}', None),
        ("body:$.id", b'{"other": 1}', None),
        ("body:$.id", b"[1]", None),
        ("body:$.id.x", b'{"id": 5}', None),
        ("body:$.id", b"no json", None),
        ("body:$.id", b"", None),
    ],
)
def test_an_entity_key_comes_from_the_body_when_it_is_text_or_a_whole_number(source, body, key):
    found = EntityKey.of(source, parse_template("POST /rpc"))

    assert found.in_body
    assert found.of_path(()) is None
    assert found.of_body(body) == key


def test_a_template_has_no_more_segments_than_a_search_may_go_deep():
    assert len(parse_template("/a" * SEGMENTS_LIMIT).shape) == SEGMENTS_LIMIT
    with pytest.raises(ValueError, match="should have at most 64 segments, has 3000"):
        parse_template("/a" * 3000)
