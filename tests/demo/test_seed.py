from __future__ import annotations

import orjson
from xxhash import xxh3_64_hexdigest

from proxy.demo.seed import everything


def test_there_is_something_of_everything():
    assert {name: len(documents) for name, documents in everything().items()} == {
        "users": 200,
        "configuration": 60,
        "conversations": 120,
        "analytics": 300,
    }


def test_the_seed_is_the_same_everywhere_and_in_every_run():
    """Golden value: a gateway's stored evidence about the demo's data would be void if it changed by itself."""
    assert xxh3_64_hexdigest(orjson.dumps(everything())) == "8a8c2489970f3432"


def test_every_id_is_there_once():
    for documents in everything().values():
        ids = [document["id"] for document in documents]
        assert len(ids) == len(set(ids))
