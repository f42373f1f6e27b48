"""Which member names may be shown: words, and nothing that could be somebody's."""

from __future__ import annotations

import base64
import random
import string
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.names import is_word

WORDS = (
    "id", "ID", "x", "name", "createdAt", "created_at", "updated-at", "line_1", "line2", "address2", "sha256", "v2",
    "__typename", "_id", "_links", "@id", "@type", "$ref", "class_", "created__gte", "xAxisMin", "isHTTPSEnabled",
    "userIDs", "HTTPStatus", "URL", "year2024", "line2Text", "oauth2Token", "MAX_RETRIES", "Content-Type", "iso8601",
    "internationalization", "maxConcurrentConnections", "facade", "added", "feedback", "x-request-id", "catchphrase",
)  # fmt: skip

# Nothing of this may reach a page: what people are, what lets them in, what points to one of them.
CANARIES = (
    "ana@example.com", "ana.maria", "Ana Maria", "+49 30 1234567", "42", "-7", "user_1234", "user12345",
    "order-20240115", "2024-01-15", "d2024-01-15", "123-45-6789", "ssn-123-45-6789", "tel_555_1234",
    "4111111111111111", "DE89370400440532013000", "s3cr3t", "Sup3rS3cret", "a7f3c9", "A7F3C9", "p4ssw0rd", "hunter2!",
    "deadbeef", "deadbeefcafe", "abcdefabcdef1234", "0b4f9c1e-8a52-4d2e-9f62-0123456789ab",
    "abcdefab-cdef-abcd-efab-cdefabcdefab", "deadbeef00112233", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "QWxhZGRpbjpvcGVu",
    "AKIAIOSFODNN7EXAMPLE", "key_live_4eC39HqLyjWDarjtT1zdp7dc", "tok_16C7e42F292c6912E7710c838347Ae178B4a",
    "xkqzvbtrwpms", "10.0.0.1", "host.example.com", "/var/lib/x", "a b", "a\tb", "", "_", "$", "@", "-", "naïve",
    "имя", "名前", "a\n", "x" * 25, "some_words_that_are_far_too_many_for_one_field_name", "<script>", "a'b", 'a"b',
    "a[0]", "*", "O'Brien", "a__" + "b" * 60, "@@x", "$$x", "x" + "\u0661",
)  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_what_programmers_call_a_member_may_be_shown(name):
    assert is_word(name)


@pytest.mark.parametrize("name", CANARIES)
def test_what_may_be_data_is_not_shown(name):
    assert not is_word(name)


@given(st.uuids(), st.sampled_from((str, lambda uuid: uuid.hex, lambda uuid: str(uuid).upper(), UUID.__str__)))
def test_no_uuid_is_a_word(uuid, spelling):
    assert not is_word(spelling(uuid))


@given(st.binary(min_size=6, max_size=24))
def test_no_hexadecimal_key_is_a_word(key):
    assert not is_word(key.hex())
    assert not is_word(key.hex().upper())


@given(st.text(string.ascii_letters + string.digits, max_size=20), st.integers(10_000, 10**19))
def test_no_name_with_a_long_number_is_a_word(name, number):
    assert not is_word(f"{name}{number}")


@given(st.text(max_size=60), st.characters(exclude_characters=string.ascii_letters + string.digits + "_-@$"))
def test_nothing_but_letters_digits_and_joints_is_shown(name, stranger):
    assert not is_word(name + stranger)


@pytest.mark.parametrize(("size_bytes", "most"), [(15, 25), (24, 5), (32, 0)])
def test_hardly_a_token_that_was_drawn_by_lot_looks_like_words(size_bytes, most):
    chance = random.Random(7)
    tokens = [base64.urlsafe_b64encode(chance.randbytes(size_bytes)).decode().rstrip("=") for _ in range(10_000)]

    assert sum(map(is_word, tokens)) <= most


def test_of_letters_that_were_drawn_by_lot_few_look_like_words():
    chance = random.Random(7)

    assert sum(is_word("".join(chance.choices(string.ascii_letters, k=20))) for _ in range(10_000)) <= 300
