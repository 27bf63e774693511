"""The hub restarted, killed, slow, cut off, redelivering, its partitions read by others."""

import base64
import hashlib
import hmac
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from ingest.hub.tokens import KEY_NAME
from tests.end_to_end.plant import HUB
from tests.faults.plant import FaultPlant, Told

KEY = "a2V5LW9mLWEtdGVzdA=="
BROKE = "link to the hub broke, opening it again"


@pytest.fixture
def plant(tmp_path: Path, told: Told) -> Iterator[FaultPlant]:
    with FaultPlant(tmp_path / "plant", told=told).running() as made:
        yield made


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_it_is_started_again(plant: FaultPlant, *, kill: bool) -> None:
    plant.warm_up()
    for _ in range(2):
        plant.restart_hub(kill=kill)
        plant.send(75)
    plant.recover(f"hub: {'kill -9' if kill else 'stopped'} and started again (twice)")
    if not kill:  # the SDK opens the link again by itself, and quickly
        plant.says("amqp:connection:forced", "the hub is closing")


def test_links_are_dropped_again_and_again(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("hub: connections cut at any byte", plant.hub_line.cutting(100_000))
    plant.says(BROKE)
    assert plant.hub_line.connections > 6


def test_it_refuses_connections_for_a_while(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("hub: connections refused", plant.hub_line.refusing(), seconds=10)
    plant.says(BROKE)
    assert plant.services[0].poll() is None


def test_it_is_slow(plant: FaultPlant) -> None:
    plant.warm_up()
    with plant.hub_line.slow(0.4):
        plant.ride_out("hub: each answer 0.4 s late", seconds=0)


def test_it_takes_connections_and_says_nothing(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("hub: silent (a blackhole)", plant.hub_line.silent(), seconds=15)
    assert plant.services[0].poll() is None


def test_a_reader_with_an_owner_level_steals_its_partitions(plant: FaultPlant) -> None:
    """Another program reads with the same consumer group, and the hub gives it precedence."""
    plant.warm_up()
    with thief(plant):
        plant.says(BROKE, "owner level 7")
        plant.send(150)
        time.sleep(4)
    plant.recover("hub: partitions stolen by a reader with an owner level")


def test_it_delivers_again_and_drops_links_out_of_its_own_fault(tmp_path: Path, told: Told) -> None:
    options = ("--fault", "redeliver=0.5", "--fault", "drop=0.05")
    with FaultPlant(tmp_path / "plant", told=told, hub_options=options).running() as plant:
        plant.warm_up()
        plant.ride_out("hub: delivers again (half of the slices), drops links", events=300)
        received = plant.metric("headrace_events_received")
        assert received < 500  # counted once each, with a few that were in flight
        plant.says(BROKE)


def test_a_wrong_key_is_told_in_a_sentence(tmp_path: Path, told: Told) -> None:
    with FaultPlant(tmp_path / "plant", told=told, hub_options=("--key", KEY)).running() as plant:
        right = plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"]
        plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"] = right.replace(KEY, "b3RoZXI=")
        assert plant.start().wait(60) == 2
        plant.says("source: hub telemetry", "InvalidSignature")
        assert "Traceback" not in plant.log()
        assert KEY not in plant.log()
        plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"] = right
        plant.start()
        plant.send(60)
        plant.recover("hub: wrong key (exit code 2), started again with the right one")


def test_a_token_that_expires_stops_the_reading_and_nothing_else(
    tmp_path: Path, told: Told
) -> None:
    with FaultPlant(tmp_path / "plant", told=told, hub_options=("--key", KEY)).running() as plant:
        right = plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"]
        token = signed(f"sb://127.0.0.1/{HUB}", KEY, expires=int(time.time()) + 25)
        without = re.sub(r"SharedAccessKeyName=[^;]*;SharedAccessKey=[^;]*", "", right)
        given = f"{without};SharedAccessSignature={token}".replace(";;", ";")
        plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"] = given
        plant.warm_up()
        plant.says(BROKE, "ExpiredToken", seconds=90)
        plant.send(60)
        assert plant.services[0].poll() is None
        assert token not in plant.log()
        plant.stop()
        assert plant.services[0].returncode == 0
        plant.environment["HEADRACE_EVENT_HUBS_CONNECTION"] = right
        plant.start()
        plant.recover("hub: token expired, started again with another")


def signed(place: str, key: str, *, expires: int) -> str:
    """Sign a token for a hub, as an operator would in the portal."""
    resource = quote(place, safe="")
    digest = hmac.new(key.encode(), f"{resource}\n{expires}".encode(), hashlib.sha256).digest()
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={KEY_NAME}"


@contextmanager
def thief(plant: FaultPlant) -> Iterator[None]:
    program = subprocess.Popen(
        [sys.executable, "-c", THIEF, plant.connection, HUB, str(plant.partitions)]
    )
    try:
        yield
    finally:
        program.kill()
        program.wait()


THIEF = """
import asyncio, sys
from azure.eventhub.aio import EventHubConsumerClient
connection, name, partitions = sys.argv[1:]
async def ignore(*_): pass
async def main():
    make = EventHubConsumerClient.from_connection_string
    client = make(connection, "$Default", eventhub_name=name)
    await asyncio.gather(*(
        client.receive(ignore, partition_id=str(p), starting_position="@latest", owner_level=7)
        for p in range(int(partitions))))
asyncio.run(main())
"""


def test_a_second_service_takes_half_of_the_partitions_and_dies(plant: FaultPlant) -> None:
    plant.warm_up()
    second = plant.start("two")
    plant.says("attached", instance="two")
    plant.send(150)
    second.kill()
    second.wait()
    plant.services.remove(second)
    plant.recover("hub: partitions taken by a second service, which is killed")
    plant.says("taking a partition over", instance="two")
