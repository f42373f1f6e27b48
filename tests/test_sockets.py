from __future__ import annotations

import socket

import pytest

from proxy.settings import Settings
from proxy.sockets import addresses_of, held, listening_on
from proxy.wire.listener import PortTaken

FREE = Settings.model_validate(
    {"listen": "127.0.0.1:0", "probes": {"listen": "127.0.0.1:0"}, "admin": {"listen": "127.0.0.1:0"}}
)


def close(sockets: dict[str, socket.socket]) -> None:
    for sock in sockets.values():
        sock.close()


def test_every_listener_gets_its_socket():
    found = held(FREE)
    assert sorted(found) == sorted(addresses_of(FREE)) == ["admin", "data", "probes"]
    assert len({sock.getsockname()[1] for sock in found.values()}) == 3
    assert not any(sock.getblocking() for sock in found.values())
    close(found)


def test_what_is_given_is_not_bound_again():
    with socket.create_server(("127.0.0.1", 0)) as given:
        found = held(FREE.model_copy(update={"listen": "192.0.2.1:1"}), {"data": given})
        assert found["data"] is given
        close(found)


@pytest.mark.parametrize(
    ("name", "key"), [("listen", "listen"), ("probes", "probes.listen"), ("admin", "admin.listen")]
)
def test_a_port_that_somebody_has_is_named_by_its_setting(name, key):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        part = at if name == "listen" else getattr(FREE, name).model_copy(update={"listen": at})
        with pytest.raises(PortTaken, match=f"^{key}: cannot listen on {at}"):
            held(FREE.model_copy(update={name: part}))


def test_a_name_that_does_not_resolve_is_said_too():
    with pytest.raises(PortTaken, match=r"^listen: cannot listen on no-such-host\.invalid:1: "):
        held(FREE.model_copy(update={"listen": "no-such-host.invalid:1"}))


def test_settings_follow_the_sockets():
    with socket.create_server(("127.0.0.1", 0)) as data, socket.create_server(("0.0.0.0", 0)) as admin:
        placed = listening_on(Settings(), {"data": data, "admin": admin})
        assert placed.listen == f"127.0.0.1:{data.getsockname()[1]}"
        assert placed.admin.listen == f"0.0.0.0:{admin.getsockname()[1]}"
        assert placed.probes == Settings().probes
    try:
        v6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        return  # a machine without IPv6
    with v6:
        assert listening_on(Settings(), {"data": v6}).listen == f"[::1]:{v6.getsockname()[1]}"
