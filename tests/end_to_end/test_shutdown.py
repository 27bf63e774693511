"""SIGTERM under load, all well or Redis or the store down: it ends in time, nothing is lost."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batching.model import Entry
from tests.end_to_end.plant import Plant, running, stream
from tests.end_to_end.test_pressure import broken_store, metric, until
from tests.end_to_end.test_two_services import manifests

DRAIN_SECONDS = "9 s"  # where it is known that there is nothing to wait for


def told(plant: Plant, instance: str, phrase: str) -> str:
    """Give the line of a service's log that holds a phrase."""
    lines = (plant.folder / f"{instance}.log").read_text().splitlines()
    return next((line for line in lines if phrase in line), "")


def ended_in_time(plant: Plant, instance: str, *, finished: bool) -> None:
    """Read from the service's own log how long it took."""
    line = told(plant, instance, "service stopped")
    seconds = re.search(r'"seconds": ([\d.]+)', line)
    assert seconds, line
    drain_seconds = re.search(r'"drain_seconds": ([\d.]+)', told(plant, instance, '"stopping"'))
    assert drain_seconds
    assert float(seconds[1]) <= float(drain_seconds[1])
    assert f'"finished": {str(finished).lower()}' in line


@contextmanager
def senders(plant: Plant, *, count: int, events: int) -> Iterator[None]:
    """Send as fast as it goes, beside what the test does."""
    threads = [
        threading.Thread(target=plant.send, args=(events,), kwargs={"rate": 0})
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path, partitions=4)
    made.settings["drain_seconds"] = DRAIN_SECONDS
    made.settings["logs"] = {"format": "json"}
    with running(made):
        yield made


def test_a_service_stopped_under_load_hands_over_at_once(plant: Plant) -> None:
    # Longer than the test's patience: who waited for it would be late.
    plant.settings["ownership"] = {"expiry": "300 s", "interval": "1 s"}
    plant.settings["drain_seconds"] = "25 s"  # the default
    first = plant.start("one")
    plant.send(50)
    plant.until(lambda report: report.batched > 0)
    plant.start("two")
    with senders(plant, count=2, events=1_500):
        plant.until(lambda report: report.batched > 200)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        ended_in_time(plant, "one", finished=True)
    plant.complete()


def test_what_is_open_stays_open_and_is_not_read_again(plant: Plant) -> None:
    plant.settings["streams"] = {"motion": stream(seal={"max_age": "1 h"})}
    first = plant.start("one")
    plant.send(300, rate=0)
    sent = plant.senders.read_text().count("\n")
    received = "headrace_events_received_total"
    until(lambda: metric(plant, received) == sent, "everything came")
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    plant.start("two")
    until(lambda: metric(plant, "headrace_open_sensors") > 0, "batches are still open")
    plant.drain()
    plant.complete()
    assert metric(plant, received) == 0
    assert {entry.reason for entry in batches(plant.folder)} == {"drain"}


def test_a_service_whose_redis_is_silent_ends_in_time_and_the_next_one_goes_on(
    plant: Plant,
) -> None:
    first = begun(plant)
    with frozen_valkey(plant.folder):
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 3
    ended_in_time(plant, "one", finished=False)
    assert told(plant, "one", "nothing is lost")
    plant.start("two")
    plant.complete()


def test_a_service_whose_store_is_down_ends_in_time_and_the_next_one_goes_on(plant: Plant) -> None:
    first = begun(plant)
    with broken_store(plant.folder):
        plant.send(200, rate=0)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 3
    ended_in_time(plant, "one", finished=False)
    plant.start("two")
    plant.complete()


def test_a_second_signal_ends_a_service_at_once(plant: Plant) -> None:
    first = begun(plant)
    with frozen_valkey(plant.folder):
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGTERM)  # at once: the same wish
        plant_says(plant, "stopping")
        while first.poll() is None:
            time.sleep(0.2)
            first.send_signal(signal.SIGTERM)
        assert first.returncode == 128 + signal.SIGTERM
    assert not told(plant, "one", "service stopped")
    plant.start("two")
    plant.complete()


def batches(folder: Path) -> list[Entry]:
    return [entry for manifest in manifests(folder) for entry in manifest.entries]


def begun(plant: Plant) -> "subprocess.Popen[bytes]":
    """Start a service that has open batches, and some in the store."""
    made = plant.start("one")
    plant.send(300, rate=0)
    plant.until(lambda report: report.batched > 0)
    plant.send(100, rate=0)
    return made


def plant_says(plant: Plant, phrase: str) -> None:
    plant.until(lambda _: bool(told(plant, "one", phrase)))


@contextmanager
def frozen_valkey(folder: Path) -> Iterator[None]:
    """Let the embedded server stand still: it takes connections and never answers."""
    pid = int((folder / "valkey" / "valkey.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
