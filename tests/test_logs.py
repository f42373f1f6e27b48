from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import logging
from proxy.logs import start_logging
log = start_logging().bind(process="1-0-7")
log.debug("unheard")
try:
    raise ValueError("why")
except ValueError:
    log.error("broken", exc_info=True)
logging.getLogger("aiohttp").warning("of a library")
"""


def test_events_are_json_lines_on_stderr():
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, second = said.stderr.splitlines()
    broken = json.loads(first)

    assert said.stdout == ""
    assert (broken["event"], broken["level"], broken["process"]) == ("broken", "error", "1-0-7")
    assert broken["timestamp"] and "ValueError: why" in broken["exception"]
    assert second == "of a library"
