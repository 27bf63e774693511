"""A service that slept comes back as a zombie; twins of one name; runs that are killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from batching.failpoints import VARIABLE
from tests.end_to_end.plant import stream
from tests.faults.plant import AGE, FaultPlant, Told


@pytest.mark.parametrize("where", ["append.before", "manifest.before", "ack.before", None])
def test_a_service_sleeps_until_its_partitions_are_taken_over(
    tmp_path: Path, told: Told, where: str | None
) -> None:
    """In the middle of work, or at a step that the failpoint holds open until it sleeps."""
    plant = FaultPlant(tmp_path / "plant", told=told)
    with plant.running():
        if where is not None:
            plant.environment[VARIABLE] = f"{where}=pause:8"
        sleeper = plant.start("one")
        plant.send(150)
        if where is not None:
            plant.says(f"failpoint {where}: pause")
        else:
            plant.until(lambda report: report.batched > 10)
        sleeper.send_signal(signal.SIGSTOP)
        try:
            plant.environment.pop(VARIABLE, None)
            plant.start("two")
            for partition in range(plant.partitions):
                plant.says('"attached"', f'"partition": "{partition}"', instance="two")
            plant.send(150)
            plant.until(lambda report: report.batched > 200)
        finally:
            sleeper.send_signal(signal.SIGCONT)
        plant.send(60)
        plant.recover(f"process: slept ({where or 'anywhere'}), taken over, woke up")
        plant.says("partitions owned", '"lost": ["', seconds=30)
        assert sleeper.poll() is None


def test_two_services_have_one_name(tmp_path: Path, told: Told) -> None:
    """Each believes that it owns everything: all is done twice, and is there once."""
    plant = FaultPlant(tmp_path / "plant", told=told)
    with plant.running():
        plant.warm_up()
        plant.start("one")
        plant.send(200, rate=40)
        plant.says("another instance has the same name", "HEADRACE_INSTANCE")
        plant.recover("process: two services of one name")


def test_processes_of_runs_are_killed(tmp_path: Path, told: Told) -> None:
    plant = FaultPlant(tmp_path / "plant", told=told)
    run = {"flow": "SensorProcessingFlow", "after": "1 s", "backoff": "1 s", "attempts": 10}
    plant.settings["streams"] = {"motion": stream(seal=AGE, run=run)}
    with plant.running():
        plant.start()
        plant.send(80, sensors=3)
        killed: set[int] = set()
        deadline = time.monotonic() + 60
        while len(killed) < 4 and time.monotonic() < deadline:
            for pid in run_processes(plant.folder) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            time.sleep(0.05)
        assert len(killed) >= 4
        plant.says("run failed, trying again")
        report = plant.recover("process: runs killed (kill -9)")
        assert report.runs["succeeded"] >= 1
        assert not report.failed_runs


def run_processes(folder: Path) -> set[int]:
    """Find the flows that read a record of this plant's store."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if b"--no-pylint" in words and any(os.fsencode(folder) in word for word in words):
            found.add(int(place.parent.name))
    return found
