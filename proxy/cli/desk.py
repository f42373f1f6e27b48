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
from proxy.store.embedded import address_of, is_taken
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.evidence import EvidenceStore
from proxy.store.fleet import Fleet
from proxy.store.link import CANNOT_SAVE, Link, Refused
from proxy.store.mismatches import MismatchStore
from proxy.store.rules import RuleStore
from proxy.workers.changes import Changes
from proxy.workers.clusters import Clusters
from proxy.workers.status import Reader


@dataclass(frozen=True, slots=True)
class Desk:
    """What a verb may need of the store."""

    settings: Settings
    link: Link
    changes: Changes
    reader: Reader
    clusters: Clusters


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
    """
    Open the store for one command; raises StoreError, with what to do, when it does not answer.

    A store that cannot save is read as ever; a write, of which each command makes one, then says so.
    """
    link = Link(store_of(settings), settings.namespace)
    try:
        await _greet(link, settings)
        rules, emergencies, fleet = RuleStore(link), Emergencies(link), Fleet(link)
        events = Events(link, structlog.get_logger("banyan"))
        changes = Changes(rules, emergencies, fleet, settings.live_changes)
        reader = Reader(rules, emergencies, fleet, events, EvidenceStore(link))
        yield Desk(settings, link, changes, reader, Clusters(rules, MismatchStore(link)))
    except Refused as exc:
        if exc.code != CANNOT_SAVE:
            raise
        raise StoreError(f"{exc}; nothing was changed") from exc
    finally:
        await link.close()


async def _greet(link: Link, settings: Settings) -> None:
    try:
        await link.call("PING")
    except Refused:
        return  # it runs; what it refuses beside this, the command will hear
    except StoreError as exc:
        why = str(exc.__cause__ or exc)
        if settings.store != EMBEDDED:
            what = f"the store {link.address.shown} is out of reach: {why}"
        elif await is_taken(link.address.url):
            what = f"the embedded store of {settings.data_dir} runs, but is out of reach: {why}"
        else:
            what = f"the embedded store of {settings.data_dir} does not run: start the gateway with `banyan run`"
        raise StoreError(what) from exc
