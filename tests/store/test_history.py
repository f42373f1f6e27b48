"""The history: what an entry says, and taking it back."""

from __future__ import annotations

import pytest

from proxy.core.errors import NotAllowed
from proxy.core.merge import Edit
from proxy.store.history import Change, changes_between, publication_of, read_publication, taken_back, words_of
from tests.store.documents import component, reweighted, rules


def entry(words: list[str]) -> dict[str, str]:
    return dict(zip(words[::2], words[1::2], strict=True))


def test_an_entry_names_every_field_that_changed():
    before = rules(users=5, chat=0)
    after = reweighted(before, users=25)

    assert changes_between(before, after) == (Change("users", Edit(("weight",), 5.0, 25.0)),)
    assert str(changes_between(before, after)[0]) == "users.weight: 5 → 25"


def test_an_entry_is_read_back_as_it_was_written():
    before, after = rules(1, users=5, chat=0), rules(2, users=25, analytics=1)
    publication = publication_of(before, after)

    assert read_publication(entry(words_of(publication))) == publication
    assert {change.component for change in publication.changes} == {"users", "chat", "analytics"}


@pytest.mark.parametrize("fields", [{}, {"diff": "{", "version": "1"}, {"diff": "[1]", "version": "1"}, {"diff": "5"}])
def test_an_entry_that_somebody_else_wrote_is_none(fields):
    assert read_publication(fields) is None


def test_taking_a_change_back_leaves_later_changes_of_other_fields():
    before = rules(1, users=5, chat=0)
    after = reweighted(before, users=25)
    later = reweighted(after, chat=9)

    back = taken_back(later, publication_of(before, after))
    assert {name: each.weight for name, each in back.items()} == {"users": 5.0, "chat": 9.0}


def test_a_field_that_changed_again_is_not_taken_back():
    before = rules(1, users=5)
    after = reweighted(before, users=25)

    with pytest.raises(NotAllowed, match=r"changed again since: users\.weight"):
        taken_back(reweighted(after, users=50), publication_of(before, after))


def test_a_component_comes_and_goes_whole():
    small, large = rules(1, users=5), rules(2, users=5, chat=7)

    assert taken_back(large, publication_of(small, large)) == small.components
    assert taken_back(small, publication_of(large, small)) == large.components


def test_a_route_that_was_added_is_taken_out_again():
    before = rules(1, users=5)
    wider = component("users", 5, routes={"/api/users": {}, "/api/users/{id}": {"weight": 1}})
    after = before.model_copy(update={"components": {"users": wider}, "version": 2})

    assert taken_back(after, publication_of(before, after)) == before.components
