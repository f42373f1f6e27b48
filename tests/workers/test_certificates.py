"""TLS contexts kept in step with their files: when they are taken, what leaves the one in force, what is told."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.wire.certificates import BadCertificate, ServingFiles
from proxy.workers import certificates
from proxy.workers.certificates import Certificates, Kept
from tests import pki
from tests.waiting import until


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def append(
        self, kind: str, component: str | None = None, who: str | None = None, why: str = "", **facts: Any
    ) -> None:
        self.told.append((kind, why))


@pytest.fixture
def files(tmp_path: Path) -> ServingFiles:
    return put(tmp_path, pki.server_cert())


def put(folder: Path, cert: Path) -> ServingFiles:
    shutil.copy(cert, folder / "cert.pem")
    shutil.copy(pki.key_of(cert), folder / "cert.key")
    return ServingFiles(folder / "cert.pem", folder / "cert.key")


def shown_by(context: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a client gets to see."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    client = client_context.wrap_bio(back, there)
    server = context.wrap_bio(there, back, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert(binary_form=True)


def der(cert: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


def test_what_has_not_changed_is_not_due(files: ServingFiles):
    kept = Kept("tls", files)

    assert not kept.is_due()
    assert shown_by(kept.context()) == der(pki.server_cert())


def test_a_change_is_due_once_it_was_seen_twice(files: ServingFiles, tmp_path: Path):
    kept = Kept("tls", files)
    put(tmp_path, pki.authority().signed("renewed"))
    assert not kept.is_due()
    (tmp_path / "cert.key").write_bytes(b"half of")
    assert not kept.is_due()  # it goes on changing
    renewed = pki.authority().signed("renewed again")
    put(tmp_path, renewed)
    assert not kept.is_due()
    assert kept.is_due()

    assert kept.take()
    assert not kept.is_due()
    assert shown_by(kept.context()) == der(renewed)


def test_what_cannot_be_used_leaves_what_was_in_force(files: ServingFiles, tmp_path: Path):
    kept = Kept("tls", files)
    (tmp_path / "cert.pem").unlink()

    assert not kept.take()
    assert kept.problem == (
        f"tls: {tmp_path / 'cert.pem'} cannot be read: No such file or directory; what was in force stays in force"
    )
    assert shown_by(kept.context()) == der(pki.server_cert())
    assert not kept.is_due()  # it is not tried again until it changes

    put(tmp_path, pki.server_cert())
    assert [kept.is_due(), kept.is_due()] == [False, True]
    assert kept.take() and kept.problem == ""


def test_there_must_be_something_to_begin_with(tmp_path: Path):
    with pytest.raises(BadCertificate):
        Kept("tls", ServingFiles(tmp_path / "none.pem"))


@asynccontextmanager
async def followed(files: ServingFiles) -> AsyncIterator[tuple[Certificates, Events, asyncio.Event, Any]]:
    events, reload = Events(), asyncio.Event()
    followed = Certificates(events, reload)
    context = followed.keep("tls", files)
    task = asyncio.create_task(followed.run())
    try:
        yield followed, events, reload, context
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_renewal_is_taken_by_itself_also_behind_a_link(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(certificates, "LOOK_S", 0.01)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    put(old, pki.server_cert())
    renewed = pki.authority().signed("swapped")
    put(new, renewed)
    link = tmp_path / "data"
    link.symlink_to(old)
    async with followed(ServingFiles(link / "cert.pem", link / "cert.key")) as (_, events, _, context):
        (tmp_path / "next").symlink_to(new)
        (tmp_path / "next").rename(link)  # as Kubernetes does it
        await until(lambda: events.told)

        assert shown_by(context()) == der(renewed)
        assert events.told == [("certificate_taken", "tls: new connections get what the files hold")]


async def test_a_reload_is_heeded_at_once_and_told_only_if_something_changed(monkeypatch, files, tmp_path: Path):
    monkeypatch.setattr(certificates, "LOOK_S", 3600)
    async with followed(files) as (kept, events, reload, context):
        first = context()
        reload.set()
        await until(lambda: context() is not first)
        assert events.told == []

        (tmp_path / "cert.key").write_text("broken")
        reload.set()
        await until(lambda: events.told)
        assert events.told[0][0] == "certificate_refused"
        assert kept.problems == (events.told[0][1],)

        put(tmp_path, pki.server_cert())
        reload.set()
        await until(lambda: len(events.told) == 2)
        assert events.told[1][0] == "certificate_taken"
        assert kept.problems == ()


async def test_with_nothing_to_keep_nothing_runs():
    await Certificates(Events(), asyncio.Event()).run()
