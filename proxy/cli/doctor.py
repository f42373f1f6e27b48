"""
`banyan doctor`: is everything there that a gateway needs, and set as it should be?

Looks and changes nothing; what it writes to try whether it can, it removes. A warning leaves the exit
code alone; what is out of reach is 5, invalid settings or rules are 4, anything else that is wrong is 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import typer

from proxy.addresses import EMBEDDED, Origin, host_port
from proxy.cli.desk import Desk, at_desk
from proxy.cli.exits import FAILURE, INVALID, OK, OUT_OF_REACH
from proxy.cli.options import Config, Output, config_of, form_of, settings_of
from proxy.cli.output import emit
from proxy.cli.sides import health_of
from proxy.cli.tables import put_findings
from proxy.core.errors import StoreError
from proxy.core.instances import is_healthy
from proxy.core.rules import Side
from proxy.core.status import SKEW_LIMIT, status_document
from proxy.core.times import seconds_of
from proxy.rulefiles import read_folder
from proxy.settings import Settings
from proxy.store.checkup import AWAY, Grade, examine
from proxy.store.embedded import EmbeddedServer, address_of, find_server
from proxy.store.fleet import LIVES_S
from proxy.store.link import Link
from proxy.wire.certificates import BadCertificate

CLOCK_LIMIT_S = 1.0  # from here on ages and lifetimes of two machines do not fit each other
PORT_S = 1.0


class State(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `code` is what it makes of the exit code if it is a failure."""

    what: str
    state: State
    says: str
    code: int = OK


def doctor(context: typer.Context, config: Config = None, output: Output = None) -> None:
    """Look at ports, store, sides, clocks and rules."""
    settings = settings_of(context, config)
    path = config_of(context, config)
    found = [_fine("settings", str(path) if path is not None else "defaults and environment, no config.yaml")]
    found += asyncio.run(everything(settings))
    document = [{"what": each.what, "state": each.state, "says": each.says} for each in found]
    emit(document, form_of(context, output), lambda: put_findings(document))
    codes = {each.code for each in found if each.state is State.FAILURE}
    raise typer.Exit(next((code for code in (INVALID, OUT_OF_REACH, FAILURE) if code in codes), OK))


async def everything(settings: Settings) -> list[Finding]:
    """Return all findings, in the order in which a start needs what they are about."""
    found = [*_rules(settings), *_certificate(settings)]
    found += [each async for each in _ports(settings)]
    found += [each async for each in _store(settings)]
    for side in Side:
        found += await _side(settings, side)
    return found


def _rules(settings: Settings) -> Iterator[Finding]:
    folder = read_folder(settings.rules)
    for problem in folder.problems:
        yield Finding("rules", State.FAILURE, str(problem), INVALID)
    if not folder.problems:
        count = len(folder.files)
        says = f"{count} component{'s' * (count != 1)} in {settings.rules}"
        yield _fine("rules", says if count else f"{says}: everything goes to legacy")


def _certificate(settings: Settings) -> Iterator[Finding]:
    """Say whether clients can be served over TLS, if they are to be."""
    files = settings.tls.files
    if files is None:
        return
    try:
        files.context()
    except BadCertificate as exc:
        yield Finding("tls", State.FAILURE, f"{exc.key}: {exc}", INVALID)
    else:
        yield _fine("tls", f"{files.cert} can be served; client certificates: {files.client_certificates}")


async def _ports(settings: Settings) -> AsyncIterator[Finding]:
    """Say of each port whether it is free, taken by a gateway that runs, or by something else."""
    running = await _answers(settings.probes.listen, "/livez")
    listeners = {"listen": settings.listen, "admin": settings.admin.listen, "probes": settings.probes.listen}
    for name, listen in listeners.items():
        host, port = host_port(listen)
        taken = await _is_taken(host, port)
        if not taken:
            yield _fine(f"port {name}", f"{listen} is free")
        elif running:
            yield _fine(f"port {name}", f"{listen} is taken; a gateway runs")
        else:
            yield Finding(f"port {name}", State.FAILURE, f"{listen} is taken by something else", FAILURE)


async def _is_taken(host: str, port: int) -> bool:
    if port == 0:
        return False
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    except OSError:
        return True
    server.close()
    await server.wait_closed()
    return False


async def _answers(listen: str, path: str) -> bool:
    host, port = host_port(listen)
    if port == 0:
        return False
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    authority = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    status, _ = await health_of(f"http://{authority}{path}", PORT_S)
    return status == 200


async def _store(settings: Settings) -> AsyncIterator[Finding]:
    if settings.store == EMBEDDED and find_server() is None:
        what = "no server for the embedded store: install `banyan-proxy[embedded]`, Valkey or Redis"
        yield Finding("store", State.FAILURE, what, OUT_OF_REACH)
        return
    if settings.store == EMBEDDED and address_of(settings.data_dir) is None:
        yield _to_be_started(settings, _fine("store", "embedded; it starts with the gateway"))
        return
    try:
        async with at_desk(settings) as desk:
            for each in await _server(desk.link):
                yield each
            for each in await _shared(desk):
                yield each
    except StoreError as error:
        if settings.store == EMBEDDED:
            yield _to_be_started(settings, Finding("store", State.WARNING, str(error)))
        else:
            yield Finding("store", State.FAILURE, str(error), OUT_OF_REACH)


def _to_be_started(settings: Settings, otherwise: Finding) -> Finding:
    """Return what `run` would end with, as it could not start the embedded store; `otherwise` if it could."""
    try:
        EmbeddedServer(settings.data_dir).check_folder()
    except StoreError as error:
        return Finding("store", State.FAILURE, str(error), OUT_OF_REACH)
    return otherwise


async def _server(link: Link) -> list[Finding]:
    """Look at the server itself: reach, version, role, memory, persistence, pushes, clock."""
    found = []
    for each in await examine(link):
        what = "store" if each.topic == "server" else f"store {each.topic}"
        if each.grade is Grade.FAULT:
            code = OUT_OF_REACH if each.topic == AWAY else FAILURE
            found.append(Finding(what, State.FAILURE, each.what, code))
        else:
            found.append(_judged(what, each.grade is Grade.OK, each.what))
    return found


async def _shared(desk: Desk) -> list[Finding]:
    """Look at what the replicas share: rules, replicas and their clocks, skew of sticky values."""
    facts = await desk.reader.facts()
    shown = status_document(facts)
    version = f"version {shown['version']}, {len(shown['components'])} components"
    found = [
        Finding("published rules", State.FAILURE, facts.fault, INVALID)
        if facts.fault
        else _fine("published rules", version)
    ]
    found += [Finding("status", State.WARNING, why) for why in shown["because"] if why != facts.fault]
    for replica in facts.replicas:
        at = seconds_of(str(replica["at"]))
        skew_s = 0.0 if at is None else facts.at_s - at
        fits = -CLOCK_LIMIT_S < skew_s < LIVES_S + CLOCK_LIMIT_S
        found.append(_judged(f"replica {replica['id']}", fits, f"beat {skew_s:.1f} s ago by its own clock"))
    if not any(each["skew"] for each in shown["components"].values()):
        found.append(_fine("sticky skew", f"no value makes more than {SKEW_LIMIT:.0%} of a component's reads"))
    return found


async def _side(settings: Settings, side: Side) -> list[Finding]:
    """Look at each instance; as long as one can be reached, another one that cannot is only a warning."""
    found = [await _instance(settings, side, origin) for origin in settings.side(side).origins]
    if all(each.code == OUT_OF_REACH for each in found):
        return found
    return [replace(each, state=State.WARNING, code=OK) if each.code == OUT_OF_REACH else each for each in found]


async def _instance(settings: Settings, side: Side, origin: Origin) -> Finding:
    where = settings.side(side)
    what = f"side {side}" if len(where.origins) == 1 else f"side {side} {origin.authority}"
    url = f"{origin.url}{where.health or '/'}"
    files = where.files
    try:
        tls = files.context() if files is not None else None
    except BadCertificate as exc:
        return Finding(what, State.FAILURE, f"tls.{exc.key}: {exc}", INVALID)
    patience_s = where.timeouts.connect_s or settings.timeouts.connect_s
    status, says = await health_of(url, patience_s, tls, where.server_name(origin) if tls else "", where.headers)
    if status is None:
        return Finding(what, State.FAILURE, f"{url}: {says}", OUT_OF_REACH)
    if files is not None and not files.verify:
        return Finding(what, State.WARNING, f"{url} answers {status} {says}; its certificate is not verified")
    fine = is_healthy(status) if where.health_check.interval_s else where.health is None or status < 400
    return _judged(what, fine, f"{url} answers {status} {says}")


def _fine(what: str, says: str) -> Finding:
    return Finding(what, State.OK, says)


def _judged(what: str, fine: bool, says: str) -> Finding:
    return Finding(what, State.OK if fine else State.WARNING, says)
