from __future__ import annotations

import subprocess
import sys

import pytest

from proxy.core.jsonpaths import TooDeep, fault_of, keys_of, query_of


@pytest.mark.parametrize("path", ["$", "$.id", "$.a.b", "$.é", "$['a b'].c", "$.items[*].id", "$..id", "$[?@.x > 1]"])
def test_a_jsonpath_has_no_fault(path):
    assert fault_of(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("$.a[", "should be a JSONPath: unexpected end of query\n    $.a[\n        ^"),
        ("$.a b", "should be a JSONPath: unexpected token 'b'\n    $.a b\n        ^"),
        ("$.a[*.b", "should be a JSONPath: expected comma, found dot\n    $.a[*.b\n         ^"),
        ("$.a[01]", "should be a JSONPath: leading zero in index selector\n    $.a[01]\n        ^"),
        ("$.a[?(@.x>]", "should be a JSONPath: unexpected end of expression\n    $.a[?(@.x>]\n              ^"),
        ("$[?foo(@.a)]", "should be a JSONPath: function 'foo' is not defined\n    $[?foo(@.a)]\n       ^"),
        ("$.a\n[", "should be a JSONPath: unexpected end of query\n    $.a [\n         ^"),
    ],
)
def test_a_caret_stands_under_the_offending_character(path, fault):
    assert fault_of(path) == fault


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("id", "should be a JSONPath that begins with $, is `id`; did you mean `$.id`?"),
        (".id", "should be a JSONPath that begins with $, is `.id`; did you mean `$.id`?"),
        ("", "should be a JSONPath that begins with $, is empty; did you mean `$`?"),
        ("a b", "should be a JSONPath that begins with $, is `a b`"),
        ("$" * 501, "should be a JSONPath of at most 500 characters, has 501"),
    ],
)
def test_what_is_no_jsonpath_at_all_gets_a_suggestion_where_there_is_one(path, fault):
    assert fault_of(path) == fault


@pytest.mark.parametrize("path", ["$" + "[$" * 249, "$" + "[?(" * 160, "$[" + "'" * 400])
def test_a_bomb_of_a_path_is_only_a_fault(path):
    assert (fault_of(path) or "").startswith("should be a JSONPath: ")


@pytest.mark.parametrize(
    ("path", "keys"),
    [("$", ()), ("$.id", ("id",)), ("$.data.id", ("data", "id")), ("$['a b'][0].c", ("a b", 0, "c"))],
)
def test_a_path_to_one_place_has_keys(path, keys):
    assert fault_of(path, singular=True) is None
    assert keys_of(path) == keys


@pytest.mark.parametrize("path", ["$.items[*]", "$..id", "$[0:2]", "$[?@.x]"])
def test_a_path_to_many_places_is_refused_where_one_is_needed(path):
    assert fault_of(path, singular=True) == f"should name one place (names and indexes only), is `{path}`"


def test_plain_paths_do_not_load_the_library():
    code = (
        "import sys; from proxy.core.jsonpaths import fault_of, keys_of; "
        "assert fault_of('$.a.b') is None and keys_of('$.a') == ('a',); sys.exit('jsonpath' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("document", "places"),
    [
        ([{"x": 1}, {"y": 2}], [(1, "y")]),
        ({"a": {"y": None}}, [("a", "y")]),
        ('[{"y":1}]', []),
        ("[", []),
        (5, []),
        (None, []),
    ],
)
def test_a_query_leads_to_places_of_the_document_and_takes_no_text_for_one(document, places):
    assert query_of("$[?@.y || @.y == null].y")(document) == places


def test_a_document_that_is_too_deep_for_a_query_is_known():
    document: object = 1
    for _ in range(300):
        document = [document]

    with pytest.raises(TooDeep):
        query_of("$..[?@.x]")(document)


@pytest.mark.parametrize(
    ("path", "at", "why"),
    [
        ("$[?search(@.a,'^(a+)+$')]", 3, "match() and search()"),
        ("$[?match(@.a, 'x')]", 3, "match() and search()"),
        ("$..[?$..[?@.a==2]]", 6, "not descend"),
        ("$[?@[?@.a]]", 4, "within a filter"),
        ("$[?@..a]", 4, "not descend"),
        ("$..a[?@.b]..c", 10, "one `..` is enough"),
        ("$..a..b[?@.c]", 4, "one `..` is enough"),
    ],
)
def test_a_path_that_may_take_for_ever_is_refused_with_its_place(path, at, why):
    fault = fault_of(path)

    assert fault is not None
    assert why in fault
    assert fault.endswith(f"\n    {' ' * at}^")


@pytest.mark.parametrize(
    "path",
    [
        "$..[?@.kind=='x'].at",
        "$.a[?@.b && @.c < 3].d[?@.e]",
        "$[?@.a == 'search(..)[?']",
        "$..a..b",
        "$[?length(@.a) > 2]",
    ],
)
def test_a_path_whose_cost_grows_with_the_document_is_taken(path):
    assert fault_of(path) is None
