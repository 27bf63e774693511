"""Each benchmark runs through at its smallest size and measures; speeds are not judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def figures(*command: str) -> dict[str, dict[str, Any]]:
    """Run a benchmark; give its figures by name."""
    ran = subprocess.run(
        [sys.executable, "-m", *command, "--quick"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    about, *lines = (json.loads(line) for line in ran.stdout.splitlines())
    assert about["cores"] >= 1
    assert all(line["figure"] in ran.stderr for line in lines), "the table shows each figure"
    return {line["figure"]: line for line in lines}


def test_the_whole_path_is_measured_against_both_bare_loops(tmp_path: Path) -> None:
    found = figures("benchmarks.whole_path", "--folder", str(tmp_path))
    for shape in ("large", "small"):
        for loop in ("bare", "bare_sdk", "whole"):
            assert found[f"{shape}.{loop}.events_per_second"]["median"] > 0
            assert found[f"{shape}.{loop}.cpu"]["median"] > 0
        assert found[f"{shape}.whole.peak_memory"]["median"] > 10
        assert found[f"{shape}.whole_to_bare.cpu"]["median"] > 1, "it does more than a bare loop"
    assert all(len(figure["runs"]) == 1 for figure in found.values())
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_two_workers_are_measured_against_one(tmp_path: Path) -> None:
    found = figures("benchmarks.workers", "--folder", str(tmp_path))
    for workers in ("workers_1", "workers_2", "receiver"):
        assert found[f"{workers}.events_per_second"]["median"] > 0
        assert found[f"{workers}.cpu"]["median"] > 10
    one, two = (found[f"workers_{n}.events_per_second"]["runs"][0] for n in (1, 2))
    assert found["workers_2/workers_1"]["runs"][0] == pytest.approx(two / one, rel=0.02)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_slow_sensors_are_parked_and_come_back(tmp_path: Path) -> None:
    found = figures("benchmarks.parking", "--folder", str(tmp_path))
    for name in ("append", "park", "attach.redis_empty", "attach.redis_intact", "seal_and_commit"):
        assert found[name]["median"] > 0
    assert found["parked.index"]["median"] < found["parked.content"]["median"]
    assert not list(tmp_path.iterdir()), "nothing is left behind"
