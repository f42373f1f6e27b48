from __future__ import annotations

from proxy.admin.house import House
from tests.admin.small import SmallHouse


def test_the_house_of_the_tests_has_all_that_the_protocol_asks_for():
    asked_for = {name for name in vars(House) if not name.startswith("_")}

    made = {*dir(SmallHouse), *SmallHouse.__init__.__code__.co_names}
    assert asked_for <= made


def test_the_replica_has_it_too():
    from proxy.replica import Replica

    asked_for = {name for name in vars(House) if not name.startswith("_")}
    made = {*dir(Replica), *Replica.__init__.__code__.co_names, *Replica.__annotations__}
    assert asked_for <= made
