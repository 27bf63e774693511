"""Slow sensors beside fast ones, a replay bound to little, Redis emptied and the service killed."""

import json
from pathlib import Path
from typing import Any

from batching.verify import Report
from tests.end_to_end.plant import Plant, running, stream
from tests.end_to_end.test_faults import valkey

BOUND = {"events": 60, "time": "2 s"}
SLOW = {"max_samples": 4_000, "max_age": "1 h"}


def waiting(plant: Plant, events: int) -> Report:
    """Wait until some are parked."""
    return plant.until(lambda report: report.parked >= events)


def checkpoints(folder: Path) -> int:
    positions = folder.glob("blobs/*/position/*/*.json")
    return sum(json.loads(path.read_text())["checkpoint"] + 1 for path in positions)


def test_slow_sensors_hold_nothing_back_and_lose_nothing(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"streams": {"motion": stream(seal=SLOW)}, "replay_bound": BOUND}
    with running(Plant(tmp_path, settings=settings)) as plant:
        plant.start()
        plant.send(300, rate=300.0, sensors=25, garbage=0.02)
        waiting(plant, 100)
        plant.until(lambda _: checkpoints(tmp_path) > 300 - 2 * 60)  # of two partitions
        with valkey(tmp_path) as client:
            client.flushall()
            client.script_flush()
        plant.send(300, rate=300.0, sensors=25, garbage=0.02)
        waiting(plant, 250)
        plant.services[0].kill()
        plant.services[0].wait()
        plant.send(200, rate=400.0, sensors=3)
        plant.start()
        plant.until(lambda _: checkpoints(tmp_path) > 800 - 2 * 60)
        with valkey(tmp_path) as client:
            client.flushall()
        plant.send(100, rate=400.0, sensors=3)
        plant.until(lambda _: checkpoints(tmp_path) > 900 - 2 * 60)
        plant.drain()
        report = plant.complete()
        assert report.parked == 0
        assert report.sent == plant.senders.read_text().count("\n")
        assert list(tmp_path.glob("blobs/*/parked/*/*/*/*.index.arrow"))
