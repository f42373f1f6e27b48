"""
Is the name of a member a word that programmers chose, or is it data? Only words may stand in a path that people see.

Ground floor. An allow-list: what is not made of words is data, be it harmless or not, because a member name may be a
key, an address or a token. A word that somebody chose as a secret cannot be told from any other.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CHARACTERS_LIMIT = 48
_LETTERS_LIMIT = 24  # of one part: longer ones are no words in the languages of field names
_DIGITS_LIMIT = 4  # in all
_OWN_DIGITS_LIMIT = 2  # of a part without letters: `line_1` is a name, `user_1234` is a key

# Parts of ASCII letters, behind each of them a few digits; within a part only where a word in camel case follows.
_PART = r"[A-Za-z]+(?:\d{1,4}(?:[A-Z][a-z]{2,}[A-Za-z]*)?)?"
_WORDS = re.compile(rf"(?:__?|[@$])?{_PART}(?:(?:__?|--?)(?:{_PART}|\d{{1,{_OWN_DIGITS_LIMIT}}}))*_?", re.ASCII)
_PARTS = re.compile(r"[A-Za-z]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_NO_VOWELS = re.compile(r"[^aeiouy]{7}", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]+")

_HEX_LETTERS = 8  # so many in one part, and no letter beyond f, are no word
_LONG = 12  # letters and digits: from here on the words, and the humps of camel case, must be as long as words are
_LETTERS_PER_HUMP = 3


def is_word(name: str) -> bool:
    """Say whether a member name is made of words, as `createdAt`, `line_2` and `@type` are, and so may be shown."""
    return len(name) <= _CHARACTERS_LIMIT and _is_word(name)


@lru_cache(4096)
def _is_word(name: str) -> bool:
    if _WORDS.fullmatch(name) is None:
        return False
    if sum(map(str.isdigit, name)) > _DIGITS_LIMIT:
        return False
    bare = "".join(filter(str.isalnum, name))
    if len(bare) >= _LONG and (_HEX.fullmatch(bare) or _is_drawn(name.lower() if bare.isupper() else name, len(bare))):
        return False
    return all(map(_is_pronounced, _PARTS.findall(name)))


def _is_drawn(name: str, count: int) -> bool:
    """Say whether the humps of a long name look as if they were drawn by lot: too many, or most of them no syllable."""
    humps = _CAMEL.findall(name)
    odd = sum(len(hump) < 3 or hump.isupper() or _VOWEL.search(hump) is None for hump in humps)
    return len(humps) * _LETTERS_PER_HUMP > count or 2 * odd > len(humps) + 1


def _is_pronounced(letters: str) -> bool:
    """Say whether a run of letters may be words; what is drawn by lot seldom looks so."""
    count = len(letters)
    if count > _LETTERS_LIMIT or (count >= _HEX_LETTERS and _HEX.fullmatch(letters)):
        return False
    return _NO_VOWELS.search(letters) is None
