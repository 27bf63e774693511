"""The demo as a stranger runs it: it ends with the closing line, also after a kill or a Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLOSING = re.compile(r"complete: [\d,]+ events = .*; 0 missing, 0 twice; \d+ runs? succeeded")


def demo(data: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "ingest", "demo", "--data", str(data), "--rate", "100"]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)


def test_the_demo_is_complete_though_the_service_is_killed(tmp_path: Path) -> None:
    process = demo(tmp_path, "--events", "500", "--kill")
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert CLOSING.fullmatch(said.strip().splitlines()[-1]), said
    assert "the service was killed and went on" in said
    assert not left_behind(tmp_path)


def left_behind(folder: Path) -> list[str]:
    """Give the commands of processes that name the folder."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True, text=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]


@pytest.mark.slow
def test_a_demo_that_was_stopped_by_ctrl_c_leaves_nothing_behind_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    process = demo(tmp_path, "--events", "5000")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("demo/*/http.json")) and time.monotonic() < deadline:
        time.sleep(0.2)
    (ready,) = tmp_path.glob("demo/*/hub/ready.json")
    hub = json.loads(ready.read_text())["pid"]
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(hub, 0)
    assert not list(tmp_path.glob("demo/*/http.json"))
    again = demo(tmp_path, "--events", "300")
    said, _ = again.communicate(timeout=240)
    assert again.returncode == 0, said
    assert not left_behind(tmp_path)
