"""The command as a process: what a shell sees of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from proxy.cli import main
from proxy.store.embedded import address_of
from tests.cli.place import Place
from tests.store.servers import fill_disk, free_port
from tests.waiting import until

BANYAN = str(Path(sys.executable).with_name("banyan"))


@contextmanager
def started(*words: str, cwd: Path, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command and end it when the block ends, if it did not end by itself."""
    process = subprocess.Popen(
        words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **more}
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_ready(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def listening(place: Place, **more: Any) -> int:
    """Write settings with ports of their own; returns the port of the probes."""
    probes, admin, data = free_port(), free_port(), free_port()
    listeners = {"listen": f"127.0.0.1:{data}", "admin": {"listen": f"127.0.0.1:{admin}"}}
    place.configure(**listeners, probes={"listen": f"127.0.0.1:{probes}"}, **more)
    return probes


async def test_a_gateway_is_seen_by_the_verbs_through_its_embedded_store(bare):
    bare.store = "embedded"
    probes = listening(bare, data_dir="d")
    assert typed(bare, "status").returncode == 5

    with started(BANYAN, "run", cwd=bare.folder) as gateway:
        await until(lambda: is_ready(probes), 30)
        seen = await until(lambda: run_in(bare, "status", "-o", "json"), 30)
        assert '"weight": 5' in seen
        assert run_in(bare, "weight", "users", "25", "--why", "x")
        gateway.send_signal(signal.SIGTERM)
        await until(lambda: gateway.poll() is not None, 30)
        assert gateway.returncode == 0

    said = typed(bare, "status")
    assert (said.returncode, said.stdout) == (5, "")
    assert "does not run: start the gateway with `banyan run`" in said.stderr


async def test_verbs_know_a_gateway_whose_disk_is_full(bare):
    bare.store = "embedded"
    probes = listening(bare, data_dir="d", emergency_file="e.yaml")

    with started(BANYAN, "run", cwd=bare.folder) as gateway:
        await until(lambda: is_ready(probes), 30)
        assert await until(lambda: run_in(bare, "weight", "users", "25"), 30)
        store = address_of(bare.folder / "d") or ""
        with Redis.from_url(store) as redis:
            await fill_disk(store, redis.info("server")["process_id"])

        assert '"weight": 25' in run_in(bare, "status", "-o", "json")
        assert "users.weight: 5 → 25" in run_in(bare, "rules", "history")
        found = {each["what"]: each for each in json.loads(typed(bare, "doctor", "-o", "json").stdout)}
        assert found["store writes"]["state"] == "failure"
        assert found["store writes"]["says"] == "the store cannot save: File too large"
        why = "banyan: the store cannot save: File too large; nothing was changed"
        said = typed(bare, "weight", "users", "50")
        assert (said.returncode, said.stderr) == (5, f"{why}\n")
        said = typed(bare, "emergency", "users", "legacy", "--why", "x")
        still = f"`emergency_file` still works: write `users: legacy` into {bare.folder}/e.yaml"
        assert (said.returncode, said.stderr) == (5, f"{why}; {still}\n")
        gateway.send_signal(signal.SIGTERM)
        await until(lambda: gateway.poll() is not None, 30)


def typed(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a process of its own."""
    return subprocess.run([BANYAN, *words], cwd=place.folder, capture_output=True, text=True)


def run_in(place: Place, *words: str) -> str:
    """Type a command; returns what it printed, nothing when it failed."""
    done = typed(place, *words)
    return done.stdout if done.returncode == 0 else ""


RUN_AND_LOOK = """
import os, signal, sys, threading
from http.client import HTTPConnection

def look(port):
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                break
        except OSError:
            threading.Event().wait(0.05)
    print(sorted({name.split(".")[0] for name in sys.modules} & {"rich", "httpx", "typer"}), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=look, args=(int(sys.argv[1]),), daemon=True).start()
from proxy.cli import main
sys.exit(main(["run", "-c", "config.yaml"]))
"""


async def test_run_imports_neither_rich_nor_httpx_nor_typer(place):
    probes = listening(place)

    with started(sys.executable, "-c", RUN_AND_LOOK, str(probes), cwd=place.folder) as gateway:
        out, _ = gateway.communicate(timeout=60)

    assert out.splitlines()[0] == "[]"
    assert gateway.returncode == 0


async def test_a_taken_port_ends_run_with_one_clear_line_and_1(place):
    probes = listening(place)
    with started(BANYAN, "run", cwd=place.folder):
        await until(lambda: is_ready(probes), 30)

        second = typed(place, "run")

    assert second.returncode == 1
    clear = [line for line in second.stderr.splitlines() if not line.startswith("{")]
    assert len(clear) == 1
    assert "in use" in clear[0]
    assert "Traceback" not in second.stderr


def test_settings_that_are_wrong_end_run_with_4_and_every_problem(bare):
    bare.write("config.yaml", "lsten: 1\nsides: {legacy: {url: nowhere}}\n")

    said = bare.say("run")

    assert said.code == 4
    assert "config.yaml:1:1: lsten: unknown key; did you mean `listen`?" in said.err
    assert "config.yaml:2:23: sides.legacy.url" in said.err


def test_an_embedded_store_that_does_not_start_ends_run_with_5(bare):
    bare.store = "embedded"
    listening(bare, data_dir="d")
    bare.write("d", "a file where a folder should be")

    done = typed(bare, "run")

    assert done.returncode == 5
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["-c", "nowhere.yaml", "status"], ["run", "-c", "nowhere.yaml"]])
def test_a_file_that_is_not_there_is_said(bare, words):
    said = bare.say(*words)

    assert said.code == 4
    assert "nowhere.yaml" in said.err


def test_whoever_reads_only_the_first_line_does_no_harm(bare):
    with started("/bin/sh", "-c", f"'{BANYAN}' schema settings | head -1", cwd=bare.folder) as shell:
        out, err = shell.communicate(timeout=30)

    assert out == "{\n"
    assert "Traceback" not in err


def test_a_watched_status_goes_on_until_it_is_interrupted(place):
    with started(BANYAN, "status", "--watch", "-o", "json", cwd=place.folder) as watch:
        documents = 0
        while documents < 2:
            line = watch.stdout.readline()
            assert line, watch.communicate()
            documents += line.startswith('  "version": 1')
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=30)

    assert watch.returncode == 130
    assert "Traceback" not in err


def test_an_error_of_ours_is_one_line_and_a_traceback_only_when_asked_for(bare, monkeypatch, capsys):
    monkeypatch.setenv("BANYAN_DEBUG", "1")

    assert main(["status"]) == 5

    assert "Traceback" in capsys.readouterr().err
