"""What the hub keeps over restarts and kills, seen by the SDK."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient
from azure.eventhub.aio import EventHubConsumerClient as AioConsumer
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.exceptions import EventHubError

from batching.errors import SettingError
from ingest.hub import HubServer, HubSettings
from tests.ingest.hub.conftest import Serve
from tests.ingest.hub.sdk import bodies, consuming, receive, run, send

ONE = HubSettings("telemetry", partitions=1)


def facts(events: list[EventData]) -> list[tuple[Any, ...]]:
    return [(e.body_as_str(), e.sequence_number, e.offset, e.enqueued_time) for e in events]


def test_events_numbers_offsets_and_times_outlive_a_restart(serve: Serve, data: Path) -> None:
    served = serve(ONE, data=data)
    run(send(served.at(), "abc"))
    before = facts(run(receive(served.at(), 3)))
    created = hub_created(served.at())
    served.restart()
    assert facts(run(receive(served.at(), 3))) == before
    assert hub_created(served.at()) == created
    run(send(served.at(), "d"))
    (after,) = run(receive(served.at(), 1, starting_position=before[-1][2]))
    assert (after.body_as_str(), after.sequence_number) == ("d", 3)


def hub_created(connection: str) -> object:
    with EventHubConsumerClient.from_connection_string(connection, "$Default") as consumer:
        return consumer.get_eventhub_properties()["created_at"]


def test_clients_recover_when_the_hub_restarts(serve: Serve, data: Path) -> None:
    served = serve(ONE, data=data)
    hub = served.at()

    async def story() -> list[str]:
        got: list[str] = []
        news = asyncio.Event()

        async def take(_context: Any, event: EventData) -> None:
            got.append(event.body_as_str())
            news.set()

        async def until(count: int) -> None:
            while len(got) < count:
                news.clear()
                await news.wait()

        consumer = AioConsumer.from_connection_string(hub, "$Default", retry_backoff_factor=0.1)
        producer = AioProducer.from_connection_string(hub, retry_backoff_factor=0.1)
        async with producer, consuming(consumer, consumer.receive(take, starting_position="-1")):
            await producer.send_batch([EventData("before")])
            await until(1)
            await asyncio.to_thread(served.restart)
            await producer.send_batch([EventData("after")])
            await until(2)
        return got

    assert run(story()) == ["before", "after"]


@contextmanager
def hub_process(data: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    ready = data / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-c", "from ingest.cli import main; main()", "hub"]
    command += ["--hub", "telemetry:1"]
    command += ["--data", str(data), "--port", str(port), "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process, json.loads(ready.read_text())["connection_string"]
    finally:
        process.kill()
        process.communicate()


def send_and_kill(process: subprocess.Popen[str], connection: str, after: int) -> list[str]:
    """Send batches of 20, kill the hub after so many events, give those that were accepted."""
    accepted: list[str] = []
    producer = EventHubProducerClient.from_connection_string(connection, retry_total=0)
    with producer:
        while True:
            batch = [f"{len(accepted) + i}" for i in range(20)]
            if len(accepted) == after:
                os.kill(process.pid, signal.SIGKILL)
            try:
                producer.send_batch([EventData(body) for body in batch])
            except EventHubError:
                return accepted
            accepted += batch


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_was_accepted_survives_kill_9(data: Path) -> None:
    data.mkdir()
    with hub_process(data) as (process, connection):
        accepted = send_and_kill(process, connection, after=300)
        port = int(connection.split(":")[2].split(";")[0])
    gc.collect()  # the SDK leaves its broken socket to the collector: here, not in another test
    assert len(accepted) >= 300
    with hub_process(data, port) as (process, connection):
        got = run(receive(connection, len(accepted)))
        assert bodies(got)[: len(accepted)] == accepted
        assert [event.sequence_number for event in got] == list(range(len(got)))
        run(send(connection, ["next"]))
        (after,) = run(receive(connection, 1, starting_position=len(got) - 1))
        assert after.sequence_number == len(got)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def start(hub: HubSettings, data: Path) -> None:
    async def story() -> None:
        async with HubServer([hub], data=data):
            pass

    run(story())


def test_a_hub_may_gain_partitions_but_not_lose_them(data: Path) -> None:
    start(HubSettings("telemetry", partitions=2), data)
    created = json.loads((data / "telemetry" / "hub.json").read_text())["created_ms"]
    start(HubSettings("telemetry", partitions=3), data)
    kept = json.loads((data / "telemetry" / "hub.json").read_text())
    assert (kept["partitions"], kept["created_ms"]) == (3, created)
    with pytest.raises(SettingError, match="has 3 partitions"):
        start(HubSettings("telemetry", partitions=2), data)


def test_two_servers_do_not_share_a_folder(serve: Serve, data: Path) -> None:
    serve(ONE, data=data)
    with pytest.raises(SettingError, match="in use by another hub"):
        start(ONE, data)


def test_a_port_in_use_is_said_in_a_sentence(serve: Serve) -> None:
    served = serve(ONE)

    async def story() -> None:
        await HubServer([ONE], port=served.port).start()

    with pytest.raises(SettingError, match=f"127.0.0.1:{served.port} .it is in use.: choose"):
        run(story())
