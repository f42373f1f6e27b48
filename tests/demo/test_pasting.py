from __future__ import annotations

import pytest

from proxy.core.documents import Kind
from proxy.core.noise import Disagreement, proposals, suggestion_yaml
from proxy.demo.entities import COMPONENTS
from proxy.demo.pasting import REMARK, pasted, rules_in
from proxy.demo.stage import RULES
from proxy.rulefiles import read_folder


def proposed(name: str, *found: tuple[str, str, Kind]) -> str:
    """Return what the product proposes for a component of the demo in which something differs."""
    component = read_folder(RULES).files[name].rules
    rows = [Disagreement(route, path, kind, 9, 10, 1.0, 2.0, {}) for route, path, kind in found]
    return suggestion_yaml(component, proposals(rows))


def noise_of(name: str) -> str:
    top = f"/api/{name}"
    value = Kind.VALUE
    return proposed(
        name, (top, "$.generated_at", value), (f"{top}/search", "$.generated_at", value),
        (f"{top}/search", "$.request_id", value),
    )  # fmt: skip


@pytest.mark.parametrize("name", COMPONENTS)
def test_what_the_product_proposes_is_understood_and_makes_a_right_rule_file(name, tmp_path):
    text = noise_of(name)
    for path in RULES.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    file = tmp_path / f"{name}.yaml"
    before = read_folder(RULES).files[name].rules

    file.write_text(pasted(file.read_text(), text))

    folder = read_folder(tmp_path)
    component = folder.files[name].rules
    assert rules_in(text) == {("ignore", "$.generated_at"), ("ignore", "$.request_id")}
    assert folder.problems == ()
    assert [each.path for each in component.compare.ignore] == ["$.generated_at"]
    narrow = component.routes[f"/api/{name}/search"].compare
    assert [each.path for each in narrow.ignore] == ["$.generated_at", "$.request_id"]
    changed = {"compare": before.compare, "routes": before.routes}
    assert component.model_copy(update=changed) == before


def test_several_routes_each_get_their_own():
    text = proposed("users", ("/api/users", "$.a", Kind.VALUE), ("/api/users/search", "$.b", Kind.ORDER))
    rules = "routes:\n  /api/users: {}\n  /api/users/search: {}  # all of them\n  /api/users/{id}: {}\n"

    lines = pasted(rules, text).splitlines()

    assert [line for line in lines if not line.strip().startswith(("#", "-", "$"))] == [
        "routes:", "  /api/users:", "    compare:", "      ignore:",
        "  /api/users/search:", "    compare:", "      unordered:", "  /api/users/{id}: {}",
    ]  # fmt: skip


def test_every_other_proposal_and_every_remark_is_seen():
    text = proposed(
        "users", ("/api/users", "$.roles", Kind.ORDER), ("/api/users", "status", Kind.STATUS),
    )  # fmt: skip

    found = rules_in(text)

    assert ("unordered", "$.roles") in found
    assert [path for how, path in found if how == REMARK and "no rule helps" in path]
    assert len(found) == 2


@pytest.mark.parametrize("text", ["", "nothing: 9 reads were answered twice by one side, and nothing differs often\n"])
def test_where_nothing_is_proposed_there_is_nothing_to_paste(text):
    assert rules_in(text) == frozenset()
    assert pasted("component: users\n", "") == "component: users\n"


def test_a_route_that_the_file_does_not_have_on_a_line_of_its_own_is_refused():
    with pytest.raises(ValueError, match="no line of its own has the route /api/users/search"):
        pasted("component: users\nroutes: {}\n", noise_of("users"))
