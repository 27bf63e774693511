"""The comparison runs at its smallest size, and its verifier finds what is wrong with batches."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import batches
from benchmarks.reference import bare
from benchmarks.sheet import figure
from benchmarks.workloads import WORKLOADS, records

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    WORKLOADS["W2"].write(tmp_path / "events", 2_000)
    return tmp_path / "events"


def test_a_workload_is_the_same_each_time(source: Path, tmp_path: Path) -> None:
    WORKLOADS["W2"].write(tmp_path / "again", 2_000)
    assert (tmp_path / "again").read_bytes() == source.read_bytes()
    assert sum(1 for _ in records(source)) == 2_000


def test_the_verifier_takes_the_right_batches_and_no_others(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    bare(source, out, 500)
    wish = batches.wanted(source, 500)
    count = batches.check("bare", wish, batches.of_bare(out))
    assert count == sum(map(len, wish.values())) > 20
    name, (times, values) = found = next(iter(batches.of_bare(out)))
    with pytest.raises(batches.WrongBatches, match="lack batches"):
        batches.check("lost", wish, iter([found]))
    everything = list(batches.of_bare(out))
    with pytest.raises(batches.WrongBatches, match="too many"):
        batches.check("doubled", wish, iter([*everything, everything[-1]]))
    with pytest.raises(batches.WrongBatches, match="is another"):
        batches.check("changed", wish, iter([(name, (times, values + np.float32(1)))]))


def test_a_figure_is_a_median_with_its_spread() -> None:
    assert figure("durable/bare", "W1", [0.9, 1.2, 1.0]) == {
        "figure": "durable/bare",
        "workload": "W1",
        "median": 1.0,
        "spread": [0.9, 1.2],
        "runs": 3,
    }


@pytest.mark.slow
def test_all_contenders_give_the_same_batches(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.compare", "--events", "2000", "--runs", "1"]
    command += ["--sdk-events", "3000", "--worker-events", "3000"]
    command += ["--record", str(tmp_path / "runs"), "--folder"]
    command.append(str(tmp_path))
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    there = ["bare"] if "durable/bytewax is not measured" in ran.stderr else ["bare", "bytewax"]
    assert [(line["figure"], line["workload"]) for line in lines] == [
        *((f"durable/{other}", workload) for workload in WORKLOADS for other in there),
        ("sdk_path/bare_sdk", "large"),
        ("sdk_path/bare_sdk", "small"),
        ("workers_2/workers_1", "W2"),
    ]
    about, *runs = map(json.loads, (tmp_path / "runs").read_text().splitlines())
    assert about["machine"]["cores"] >= 1
    assert len(runs) == 2 * (1 + len(there))
    assert all(run["cpu_seconds"] > 0 and run["peak_pss_bytes"] > 2**20 for run in runs)
