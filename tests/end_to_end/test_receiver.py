"""A service whose receiver is a process of its own, and dies: each event is in one batch."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batching.adapters.embedded_valkey import EmbeddedValkey
from tests.end_to_end.hub_here import ready, wait_for
from tests.end_to_end.plant import Plant, running
from tests.processes import alive

KILLS = 4


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    made.settings["receive"] = {"process": "own"}
    made.settings["logs"] = {"format": "json"}
    with running(made):
        yield made


def receivers(plant: Plant) -> list[int]:
    """Give the processes that received, in the order in which they were started."""
    said = (plant.folder / "one.log").read_text().splitlines(keepends=True)
    lines = [json.loads(line) for line in said if line[0] == "{" and line.endswith("\n")]
    return [line["pid"] for line in lines if line.get("event") == "receiver started"]


def test_each_event_is_in_one_batch_however_often_the_receiver_is_killed(plant: Plant) -> None:
    service = plant.start()
    ready(plant)  # before, a hub that is away ends the start
    for kill in range(KILLS):
        plant.send(150)
        wait_for(lambda n=kill: len(receivers(plant)) > n)  # type: ignore[misc]
        time.sleep(0.1 * kill)  # while it asks, while links open, while events come
        os.kill(receivers(plant)[-1], signal.SIGKILL)
    plant.send(150)
    plant.complete()
    assert len(receivers(plant)) > KILLS
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    assert not any(map(alive, receivers(plant))), "the last one ended with the service"


def test_a_service_that_is_killed_leaves_no_receiver(plant: Plant) -> None:
    service = plant.start()
    ready(plant)
    plant.send(50)
    service.kill()
    service.wait()
    wait_for(lambda: not alive(receivers(plant)[-1]))
    plant.start()
    plant.complete()


def test_a_start_that_fails_leaves_no_receiver(plant: Plant) -> None:
    (plant.folder / "blobs").write_text("no folder")
    assert plant.start().wait(60) == 2
    assert len(receivers(plant)) == 1, "it is started before the store is looked at"
    assert not alive(receivers(plant)[0])


def test_a_service_that_is_told_to_stop_while_it_starts_leaves_no_receiver(plant: Plant) -> None:
    service = plant.start()
    wait_for(lambda: receivers(plant))
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    assert not any(map(alive, receivers(plant)))
    assert EmbeddedValkey(plant.folder / "valkey")._gone(), "nor a Valkey"
