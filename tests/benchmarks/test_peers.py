"""Each peer runs at its smallest size, and leaves the batches that the workload asks for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, Field, python
from benchmarks.peers import environment
from benchmarks.peers.environment import NotInstalled, python_of
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
OTHERS = [name for name, contender in CONTENDERS.items() if contender.peer and name != "bytewax"]
CASES = [("bytewax", "W1"), ("bytewax", "W2"), *((name, "W2") for name in OTHERS)]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("peer", "workload"), CASES)
def test_a_peer_gives_the_same_batches(peer: str, workload: str, tmp_path: Path) -> None:
    if peer in OTHERS and not environment.is_installed(peer):
        pytest.skip(f"{peer} is not installed; `make bench-peers` does it")
    try:
        python(peer)
    except NotInstalled as error:
        pytest.skip(f"{peer} cannot be installed: {error}")
    with Field(tmp_path, WORKLOADS[workload], 2_000) as field:
        cost = field.once(0, peer)
    assert cost["batches"] > 20
    assert cost["cpu_seconds"] > 0
    assert cost["startup_seconds"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["events"], "nothing is left behind"


def test_a_round_is_measured_once_and_drawn(tmp_path: Path) -> None:
    file, picture = tmp_path / "peers.jsonl", tmp_path / "peers.png"
    command = ["benchmarks.peers", str(file), "--share", "0.002", "--only", "bytewax"]
    run(*command, "--folder", str(tmp_path), "--runs", "1")
    first = file.read_text()
    found = run(*command, "--folder", str(tmp_path), "--runs", "2")
    assert file.read_text().startswith(first), "what is there stays"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    done = [(c["workload"], c["contender"], c["run"]) for c in lines if "contender" in c]
    assert len(done) == len(set(done)) >= 2 * 2 * 2
    figures = [json.loads(line) for line in found.splitlines()]
    assert {"durable/bare"} <= {line["figure"] for line in figures}
    assert all(line["runs"] == 2 for line in figures)
    text = run("benchmarks.table", str(file), "--picture", str(picture))
    assert text.count("| durable |") == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["peers.jsonl", "peers.png"]


def run(*command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return ran.stdout


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "HERE", tmp_path)
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "nothing.txt").write_text("headrace-has-no-such-peer==1\n")
    with pytest.raises(NotInstalled, match="No matching distribution found for headrace-has-no"):
        python_of("nothing")
