from __future__ import annotations

import io
from contextlib import suppress

import structlog

from proxy.lines import Lines


def test_lines_go_where_they_should():
    out = io.StringIO()
    lines = Lines(out)
    print("a line", file=lines, flush=True)

    assert (out.getvalue(), lines.lost) == ("a line\n", 0)


def test_a_line_goes_out_in_one_piece_because_other_processes_write_there_too():
    writes = []

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    structlog.PrintLoggerFactory(Lines(Out()))().info("a line")

    assert writes == ["a line\n"]


def test_a_full_disk_costs_lines_and_nothing_else():
    out = open("/dev/full", "w", buffering=1)  # noqa: SIM115 - closing it would fail, too
    lines = Lines(out)
    log = structlog.PrintLoggerFactory(lines)()
    log.info("lost")

    assert lines.lost
    with suppress(OSError):
        out.close()


def test_a_closed_stream_costs_lines_and_nothing_else():
    out = io.StringIO()
    out.close()
    lines = Lines(out)
    print("a line", file=lines, flush=True)

    assert lines.lost
