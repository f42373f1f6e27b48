"""The cases of the plain wire once more, with TLS below every connection: nothing of what they claim may change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import pki
from tests.gateway import test_exchange, test_reads, test_tunnels
from tests.wire import (
    test_cases,
    test_cases_answers,
    test_cases_sequences,
    test_cases_time,
    test_client,
    test_listener,
    test_pool,
    test_upstream,
)

MODULES = (
    test_cases, test_cases_answers, test_cases_sequences, test_cases_time, test_client, test_listener, test_pool,
    test_upstream, test_exchange, test_reads, test_tunnels,
)  # fmt: skip

# The sides of the tests speak the event loop's TLS, which closes altogether when its peer closes one half.
NEEDS_HALF_CLOSED_SIDE = {"test_a_tunnel_passes_bytes_and_ends_in_order"}
# It counts the bytes in the queues of a socket of its own.
NEEDS_PLAIN_SOCKET = {"test_a_reader_that_empties_only_the_queue_of_the_kernel_is_not_cut"}


@pytest.fixture(autouse=True)
def over_tls() -> Iterator[None]:
    with pki.spoken():
        yield


for _module in MODULES:
    _short = _module.__name__.rpartition(".")[2].removeprefix("test_")
    for _name, _value in list(vars(_module).items()):
        if _name.startswith("test_") and _name not in NEEDS_HALF_CLOSED_SIDE | NEEDS_PLAIN_SOCKET:
            globals()[f"test_{_short}_{_name.removeprefix('test_')}"] = _value
