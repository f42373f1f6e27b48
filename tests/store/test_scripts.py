"""That scripts are found and named as the server names them."""

from __future__ import annotations

from proxy.store.link import Link
from proxy.store.scripts import load_script


async def test_a_script_has_the_name_that_the_server_gives_it(link: Link):
    script = load_script("look", "token")

    assert (await link.call("SCRIPT", "LOAD", script.text)).decode() == script.sha
    assert script.text.index(b"local function token") < script.text.index(b"KEYS[1]")
