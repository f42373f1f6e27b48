"""
Where the verbs reach the store: the rules, emergencies and heartbeats of one namespace, for the time of one command.

With an embedded store it is the server that the gateway of the same `data_dir` runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from proxy.addresses import EMBEDDED
from proxy.core.errors import StoreError
from proxy.settings import Settings
from proxy.store.embedded import address_of
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.fleet import Fleet
from proxy.store.link import Link
from proxy.store.rules import RuleStore
from proxy.workers.changes import Changes
from proxy.workers.status import Reader


@dataclass(frozen=True, slots=True)
class Desk:
    """What a verb may need of the store."""

    settings: Settings
    link: Link
    changes: Changes
    reader: Reader


def store_of(settings: Settings) -> str:
    """Return the address of the store; raises StoreError when it is embedded and never ran."""
    if settings.store != EMBEDDED:
        return settings.store
    address = address_of(settings.data_dir)
    if address is None:
        raise StoreError(f"no embedded store has run in {settings.data_dir} yet: start the gateway with `banyan run`")
    return address


@asynccontextmanager
async def at_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open the store for one command; raises StoreError, with what to do, when it does not answer."""
    link = Link(store_of(settings), settings.namespace)
    try:
        await _greet(link, settings)
        rules, emergencies, fleet = RuleStore(link), Emergencies(link), Fleet(link)
        events = Events(link, structlog.get_logger("banyan"))
        changes = Changes(rules, emergencies, fleet, settings.live_changes)
        yield Desk(settings, link, changes, Reader(rules, emergencies, fleet, events))
    finally:
        await link.close()


async def _greet(link: Link, settings: Settings) -> None:
    try:
        await link.call("PING")
    except StoreError as exc:
        if settings.store == EMBEDDED:
            what = f"the embedded store of {settings.data_dir} does not run: start the gateway with `banyan run`"
        else:
            what = f"the store {link.address.shown} is out of reach: {exc.__cause__ or exc}"
        raise StoreError(what) from exc
