"""Each program of `benchmarks.limits` runs through at its smallest; speeds are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.limits.__main__ import PROGRAMS
from benchmarks.peers.environment import NotInstalled, python_of
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster  # noqa: F401

ROOT = Path(__file__).parents[2]
LAYERS = ("receive", "plain_values", "classify", "decode.json", "decode.senml", "decode.npy")
LAYERS += ("encode", "plan", "append", "peek", "ack", "bundle", "manifest", "layout", "dispatch")
BOUNDS = ("bound.copy", "bound.echo", "bound.rpush", "durable_path")
SERVED = {"append", "peek", "ack", "bound.rpush", "durable_path"}
pytestmark = pytest.mark.slow


def run(*command: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return ran.stdout


def medians(program: str, tmp_path: Path, *options: str) -> dict[str, float]:
    """Run a program; give its figures by name, each measured once."""
    said = run(f"benchmarks.limits.{program}", "--quick", "--folder", str(tmp_path), *options)
    about, *lines = map(json.loads, said.splitlines())
    assert about["cores"] == os.cpu_count()
    assert all(len(line["runs"]) == 1 for line in lines)
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    return {line["figure"]: line["median"] for line in lines}


def test_each_layer_is_measured_alone_beside_its_bounds(tmp_path: Path) -> None:
    found = medians("layers", tmp_path)
    columns = {
        f"{name}.{workload}_{what}"
        for name in LAYERS + BOUNDS
        for workload in ("W1", "W2")
        for what in ("wall", "cpu", *(["valkey"] if name in SERVED else []))
    }
    assert set(found) == columns
    assert all(value > 0 for value in found.values())
    for workload in ("W1", "W2"):
        copied, whole = (found[f"{name}.{workload}_cpu"] for name in ("bound.copy", "durable_path"))
        assert whole > copied, "it copies at least"


def test_an_event_is_measured_as_each_thing_grows(tmp_path: Path) -> None:
    found = medians("growth", tmp_path)
    points = [f"sensors.{n}" for n in (1_000, 10_000)] + [f"partitions.{n}" for n in (1, 2)]
    points += [f"bytes.{n}" for n in (100, 1_000)]
    points += [f"{kind}.{n}" for n in (0, 100) for kind in ("depth", "depth_commit")]
    columns = {f"{p}.{what}" for p in points for what in ("wall", "cpu", "valkey")}
    looks = {f"{p}.{what}" for p in points[:2] for what in ("attach", "longest", "choice")}
    assert set(found) == columns | looks
    assert all(value > 0 for value in found.values())


def test_open_sensors_take_memory_and_idle_ones_no_keys(tmp_path: Path) -> None:
    found = medians("memory", tmp_path)
    assert found["open_sensor.redis"] > 50, "names and totals at least"
    assert found["open_sensor.data"] > 120, "ten samples of twelve bytes"
    assert found["idle_sensor.keys"] == 0
    assert "idle_sensor.objects" in found
    for workload in ("W1", "W2"):
        assert found[f"whole_{workload}.peak"] > 20


def test_waits_are_measured_under_load_and_one_by_one(tmp_path: Path) -> None:
    found = medians("latency", tmp_path)
    waits = [
        f"{name}_{workload}"
        for workload in ("W1", "W2")
        for name in (
            *("append_call", "append_event", "append_gathered"),
            *("trigger_to_manifest", "trigger_to_manifest_at_once"),
        )
    ]
    waits += ["trigger_to_manifest_alone", "manifest_to_run", "event_to_run"]
    rates = {f"rate_{workload}.most" for workload in ("W1", "W2")}
    assert set(found) == rates | {f"{wait}.{p}" for wait in waits for p in ("p50", "p99")}
    assert all(0 < found[f"{wait}.p50"] <= found[f"{wait}.p99"] for wait in waits)
    assert found["event_to_run.p50"] > found["manifest_to_run.p50"]


def test_the_wait_for_a_workflow_is_measured_on_a_cluster(
    cluster: Cluster,  # noqa: F811
    tmp_path: Path,
) -> None:
    assert cluster.is_up
    found = medians("argo", tmp_path)
    waits = ("trigger_to_manifest_alone", "manifest_to_workflow", "event_to_workflow")
    assert set(found) == {f"{wait}.{p}" for wait in waits for p in ("p50", "p99")}
    assert found["event_to_workflow.p50"] > found["manifest_to_workflow.p50"] > 0


@pytest.mark.parametrize("store", [[], pytest.param(["--azurite"], marks=pytest.mark.azurite)])
def test_writes_are_counted_and_priced(store: list[str], tmp_path: Path) -> None:
    found = medians("puts", tmp_path, *store, "--price", "0.5")
    assert found["events_500.batches"] > 1
    # a bundle and a manifest a commit, fewer than one of each a batch
    assert 0 < found["events_500.puts"] < 2_000
    assert found["events_500.month"] > 0


def test_start_up_is_measured_with_the_sdk_and_without(tmp_path: Path) -> None:
    found = medians("startup", tmp_path)
    assert set(found) == {f"{n}.took" for n in ("owner", "service", "sdk_link", "help", "python")}
    assert found["python.took"] < found["help.took"] < found["service.took"]
    assert found["sdk_link.took"] > 0  # with pauses that the service does not make


def test_a_flame_graph_is_drawn_of_each_workload(tmp_path: Path) -> None:
    try:
        python_of("py_spy")
    except NotInstalled as error:
        pytest.skip(f"py-spy cannot be installed: {error}")
    run("benchmarks.limits.flames", str(tmp_path), "--quick")
    for workload in ("W1", "W2"):
        drawn = (tmp_path / f"flames-{workload}.svg").read_text()
        assert "<title>append (batching/partition.py)" in drawn
        assert str(ROOT) not in drawn
        assert len(drawn) < 200_000


def test_programs_are_recorded_one_after_another(tmp_path: Path) -> None:
    file, picture = tmp_path / "limits.jsonl", tmp_path / "growth.png"
    run("benchmarks.limits", str(file), "--quick", "--only", "growth", "--folder", str(tmp_path))
    run("benchmarks.limits", str(file), "--quick", "--only", "puts", "--folder", str(tmp_path))
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["program"] for line in lines] == ["growth", "puts"]
    assert all(line["program"] in PROGRAMS for line in lines)
    text = run("benchmarks.limits.page", str(file), "--picture", str(picture))
    assert "| events 500 |" in text
    assert "| sensors.1000 |" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
