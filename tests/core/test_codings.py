"""Bodies without their codings: every coding, one on another, torn, broken, and far longer than they look."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.codings import MOST_CODINGS, decoded
from proxy.core.oddities import Oddity

MOST = 1 << 20
TEXT = b'{"name": "Ana"}' * 50


def gzipped(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


PACKED = {
    "gzip": gzipped(TEXT),
    "deflate": zlib.compress(TEXT),
    "raw": raw_deflate(TEXT),
    "br": brotli.compress(TEXT),
}


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        (b"", TEXT),
        (b"identity", TEXT),
        (b"gzip", PACKED["gzip"]),
        (b"GZIP", PACKED["gzip"]),
        (b"x-gzip", PACKED["gzip"]),
        (b"deflate", PACKED["deflate"]),
        (b"deflate", PACKED["raw"]),
        (b"br", PACKED["br"]),
        (b"br, gzip", gzipped(PACKED["br"])),
        (b"gzip,identity ,  br", brotli.compress(PACKED["gzip"])),
        (b"gzip", gzipped(TEXT[:100]) + gzipped(TEXT[100:])),
    ],
)
def test_every_coding_is_taken_off_in_its_order(codings, body):
    assert decoded(body, codings, MOST) == TEXT


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"])
def test_an_empty_body_stays_empty(coding):
    assert decoded(b"", coding, MOST) == b""


@pytest.mark.parametrize("name", PACKED)
def test_a_torn_stream_is_undecodable_wherever_it_broke(name):
    coding, body = b"deflate" if name == "raw" else name.encode(), PACKED[name]

    assert all(decoded(body[:end], coding, MOST) is Oddity.UNDECODABLE for end in range(1, len(body)))


@pytest.mark.parametrize(
    ("codings", "body"),
    [
        (b"gzip", TEXT),
        (b"deflate", TEXT),
        (b"br", TEXT),
        (b"gzip", PACKED["gzip"] + b"behind"),
        (b"deflate", PACKED["deflate"] + b"behind"),
        (b"deflate", PACKED["raw"] + b"behind"),
        (b"br", PACKED["br"] + b"behind"),
        (b"gzip", PACKED["gzip"][:-1] + b"\1"),
        (b"gzip, br", PACKED["gzip"]),
        (b"zstd", PACKED["gzip"]),
        (b"gzip;q=1", PACKED["gzip"]),
        (b", ".join([b"gzip"] * (MOST_CODINGS + 1)), PACKED["gzip"]),
        (b"gzip", gzipped(b"") * 5_000),
    ],
)
def test_what_is_not_what_it_is_called_is_undecodable(codings, body):
    assert decoded(body, codings, MOST) is Oddity.UNDECODABLE


@pytest.mark.parametrize(
    ("coding", "packed"),
    [(b"gzip", gzipped), (b"deflate", zlib.compress), (b"deflate", raw_deflate), (b"br", brotli.compress)],
)
def test_a_bomb_stops_at_the_limit_and_what_just_fits_does_not(coding, packed):
    assert decoded(packed(bytes(MOST)), coding, MOST) == bytes(MOST)
    assert decoded(packed(bytes(MOST + 1)), coding, MOST) is Oddity.TOO_LONG
    assert decoded(packed(bytes(64 * MOST)), coding, MOST) is Oddity.TOO_LONG
    assert decoded(packed(packed(bytes(64 * MOST))), coding + b", " + coding, MOST) is Oddity.TOO_LONG


def test_members_that_are_too_long_together_are_too_long():
    assert decoded(gzipped(bytes(MOST)) + gzipped(b"x"), b"gzip", MOST) is Oddity.TOO_LONG


def test_a_body_without_coding_may_be_too_long_as_well():
    assert decoded(bytes(MOST + 1), b"", MOST) is Oddity.TOO_LONG


@given(st.binary(max_size=200), st.lists(st.sampled_from((b"gzip", b"deflate", b"br", b"x")) | st.binary(max_size=5)))
def test_whatever_comes_there_is_an_outcome(body, codings):
    found = decoded(body, b",".join(codings), 1_000)

    assert isinstance(found, Oddity) or len(found) <= 1_000


@given(st.binary(max_size=300), st.lists(st.sampled_from((b"gzip", b"deflate", b"raw", b"br")), max_size=3))
def test_what_was_packed_comes_out_as_it_was(text, codings):
    packers = {b"gzip": gzipped, b"deflate": zlib.compress, b"raw": raw_deflate, b"br": brotli.compress}
    body = text
    for coding in codings:
        body = packers[coding](body)

    assert decoded(body, b", ".join(codings).replace(b"raw", b"deflate"), MOST) == (text if codings else body)


def test_brotli_is_loaded_only_when_a_body_asks_for_it():
    asked = "import sys, proxy.core.codings as c; c.decoded(b'x', b'gzip', 9); print('brotli' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "False\n"
