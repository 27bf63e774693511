"""A service of two workers: each event once, whoever dies; asked, stopped and told as one."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.hub_here import headrace, metric, ready, wait_for
from tests.end_to_end.plant import Plant, running, stream
from tests.end_to_end.test_shutdown import frozen_valkey
from tests.end_to_end.test_two_services import manifests
from tests.processes import alive

RECEIVED = "headrace_events_received_total"
RESTARTS = "headrace_worker_restarts_total"


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path, partitions=4)
    made.settings["workers"] = 2
    made.settings["logs"] = {"format": "json"}
    with running(made):
        yield made


def lines(plant: Plant, instance: str = "one") -> list[dict[str, Any]]:
    """Read a service's log."""
    text = (plant.folder / f"{instance}.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def workers(plant: Plant, instance: str = "one") -> dict[int, int]:
    """Give the processes of the workers that were started last, by number."""
    started = [each for each in lines(plant, instance) if each["event"] == "worker started"]
    return {each["worker"]: each["pid"] for each in started}


def asked(plant: Plant, path: str, **options: Any) -> tuple[int, Any]:
    """Ask the service; give status and answer."""
    port = json.loads((plant.folder / "http.json").read_text())["port"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", **options)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def owned(plant: Plant) -> dict[str, float]:
    """Give how many partitions each worker owns, the hub's and the one for dead letters."""
    port = json.loads((plant.folder / "http.json").read_text())["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r'^headrace_partitions_owned\{worker="(\d)"\} ([\d.]+)$', text, re.MULTILINE)
    return {worker: float(count) for worker, count in found}


def at_work(plant: Plant, events: int) -> subprocess.Popen[bytes]:
    """Start the service, send it events, and wait for the first batch."""
    service = plant.start()
    ready(plant)
    plant.send(events, rate=0)
    plant.until(lambda report: report.batched > 0)
    return service


def test_two_workers_share_the_work_at_once_and_answer_as_one(plant: Plant) -> None:
    # No other round of balancing comes in this test: the first one gives each its share.
    plant.settings["ownership"] = {"expiry": "600 s", "interval": "300 s"}
    service = plant.start()
    ready(plant)
    wait_for(lambda: owned(plant) == {"0": 3.0, "1": 2.0})
    wait_for(lambda: asked(plant, "/readyz") == (200, {"ready": True, "reasons": []}))
    assert asked(plant, "/healthz") == (200, {"alive": True})
    plant.send(600, rate=0)
    report = plant.complete()
    assert {each.writer for each in manifests(plant.folder)} == {"one.0", "one.1"}
    assert metric(plant.folder, RECEIVED) == report.batched
    assert metric(plant.folder, "headrace_batches_committed_total") == report.batches
    assert metric(plant.folder, 'headrace_limit_bound{limit="open_bytes"') == 512 * 2**20
    assert metric(plant.folder, "headrace_workers_running") == 2
    spoken = [each for each in lines(plant) if each["event"] == "manifest created"]
    assert {each["worker"] for each in spoken} == {0, 1}
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    assert not any(map(alive, workers(plant).values()))
    assert not (plant.folder / "http.json").exists()
    assert {e["finished"] for e in lines(plant) if e["event"] == "service stopped"} == {True}
    plant.complete()


def test_a_worker_killed_in_the_run_comes_back_and_nothing_is_lost_or_doubled(
    plant: Plant,
) -> None:
    plant.start()
    ready(plant)
    first = workers(plant)
    plant.send(400, rate=0)
    plant.until(lambda report: report.batched > 100)
    os.kill(first[1], signal.SIGKILL)
    plant.send(400, rate=0)
    wait_for(lambda: metric(plant.folder, f'{RESTARTS}{{worker="1"}}') == 1)
    plant.complete()
    ready(plant)
    again = workers(plant)
    assert again[0] == first[0]
    assert again[1] != first[1]
    assert metric(plant.folder, f'{RESTARTS}{{worker="0"}}') == 0
    os.kill(again[0], signal.SIGKILL)  # the one that owns the lowest partition, too
    plant.send(200, rate=0)
    plant.complete()
    died = [each for each in lines(plant) if each["event"] == "worker died"]
    assert [(each["worker"], each["why"]) for each in died] == [
        (1, "exit code -9"),
        (0, "exit code -9"),
    ]


def test_runs_are_dispatched_once_though_the_dispatching_worker_is_killed(plant: Plant) -> None:
    run = {"flow": "SensorProcessingFlow", "after": "1 s", "in_flight": 2}
    plant.settings["streams"] = {"motion": stream(run=run)}
    plant.start()
    ready(plant)
    plant.send(300, rate=0)
    wait_for(lambda: metric(plant.folder, "headrace_run_attempts_total") > 0)
    os.kill(workers(plant)[0], signal.SIGKILL)  # it owns the lowest partition, so it dispatches
    plant.send(100, rate=0)
    report = plant.complete()
    assert report.runs["succeeded"] >= 2, report.plain()
    assert not report.runs["failed"]


def test_a_worker_that_hangs_is_told_and_the_other_takes_over(plant: Plant) -> None:
    at_work(plant, 200)
    os.kill(workers(plant)[1], signal.SIGSTOP)
    try:
        status, said = asked(plant, "/healthz")
        assert (status, said["reasons"]) == (503, ["worker 1 does not answer"])
        assert asked(plant, "/readyz")[0] == 503
        plant.send(300, rate=0)
        plant.complete()
        assert owned(plant) == {"0": 5.0}
    finally:
        os.kill(workers(plant)[1], signal.SIGCONT)
    wait_for(lambda: set(owned(plant)) == {"0", "1"})
    plant.send(100, rate=0)
    plant.complete()


def test_a_drain_reaches_all_workers_and_a_leave_ends_them_with_nothing_open(
    plant: Plant,
) -> None:
    plant.settings["streams"] = {"motion": stream(seal={"max_age": "1 h"})}
    service = plant.start()
    ready(plant)
    plant.send(200, rate=0)
    plant.drain()
    sealed = plant.complete().batches
    assert {each.writer for each in manifests(plant.folder)} == {"one.0", "one.1"}
    plant.send(200, rate=0)
    wait_for(lambda: metric(plant.folder, RECEIVED) == plant.senders.read_text().count("\n"))
    assert plant.report().batches == sealed
    assert asked(plant, "/leave", method="POST")[0] == 401
    token = (plant.folder / "http-token").read_text().strip()
    right = {"Authorization": f"Bearer {token}"}
    assert asked(plant, "/leave", method="POST", headers=right) == (200, {"leaving": True})
    assert service.wait(60) == 0
    plant.complete()


def test_what_is_wrong_is_told_once(plant: Plant) -> None:
    (plant.folder / "file").write_text("")
    plant.settings["blobs"] = {"folder": str(plant.folder / "file")}
    service = plant.start()
    assert service.wait(60) == 2
    text = (plant.folder / "one.log").read_text()
    assert text.count("error:") == 1, text
    assert "Traceback" not in text


def test_what_only_an_operator_can_help_ends_the_whole_service(plant: Plant) -> None:
    service = at_work(plant, 100)
    pids = workers(plant)
    (plant.folder / "blobs" / "headrace.json").unlink()
    plant.send(100, rate=0)
    assert service.wait(90) == 2
    assert not any(map(alive, pids.values()))
    text = (plant.folder / "one.log").read_text()
    assert text.count("error:") == 1, text


def test_workers_end_by_themselves_when_their_parent_is_killed(plant: Plant) -> None:
    service = at_work(plant, 300)
    pids = workers(plant)
    service.kill()
    service.wait()
    wait_for(lambda: not any(map(alive, pids.values())))
    plant.send(100, rate=0)
    plant.start()
    plant.complete()


def test_a_second_signal_ends_all_at_once_and_silent_servers_end_in_time(plant: Plant) -> None:
    plant.settings["drain_seconds"] = "6 s"
    service = at_work(plant, 300)
    plant.send(100, rate=0)
    with frozen_valkey(plant.folder):
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 3
    assert "nothing is lost" in str([e for e in lines(plant) if e["event"] == "not drained"][-1])
    service = plant.start("two")
    ready(plant)
    pids = workers(plant, "two")
    plant.send(100, rate=0)
    with frozen_valkey(plant.folder):
        service.send_signal(signal.SIGTERM)
        time.sleep(1.5)  # within a second it is the same wish
        service.send_signal(signal.SIGTERM)
        assert service.wait(5) == 128 + signal.SIGTERM
        wait_for(lambda: not any(map(alive, pids.values())))
    plant.start("three")
    plant.complete()


def test_commands_work_as_with_one_process(plant: Plant) -> None:
    plant.start()
    ready(plant)
    plant.send(100, rate=0)
    assert json.loads(headrace(plant, "drain", "--stop", "--json").stdout)["stopped"]
    assert len(json.loads(headrace(plant, "status", "--json").stdout)["partitions"]) == 4
    assert plant.services[-1].wait(60) == 0
    plant.complete()
