"""More comes than fits: bytes while the store is down, names without end. Nothing is dropped."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient

from batching.adapters.embedded_valkey import EmbeddedValkey
from tests.end_to_end.plant import HUB, PATIENCE_SECONDS, Plant, running

MIB = 2**20
REDIS_BUFFERS = 64 * MIB  # what decision 0010 allows Redis beside what it holds
PROCESS_BUFFERS = 64 * MIB  # and the process, for a manifest in the making
EMPTY = 220 * MIB  # a process that has nothing to do, libraries and all
ROW = np.dtype([("t", "<i8"), ("x", "<f8")])


def settings(limits: dict[str, Any], **seal: Any) -> dict[str, Any]:
    decode = {
        "format": "raw",
        "time": {"field": "t", "unit": "ns"},
        "channels": ["x"],
        "columns": {"t": "int64", "x": "float64"},
    }
    never = {"max_samples": None, "max_bytes": "256 MiB", "max_age": "1 h"}
    stream = {"sensor": {"property": "who"}, "decode": decode, "seal": {**never, **seal}}
    return {
        "limits": limits,
        "receive": {"prefetch": 100, "max_batch": 100},
        "streams": {"rows": stream},
    }


def events(count: int, rows: int, name: Callable[[int], str]) -> Iterator[EventData]:
    body = np.zeros(rows, ROW)
    body["t"] = 1_700_000_000_000_000_000 + np.arange(rows)
    raw = body.tobytes()
    for n in range(count):
        event = EventData(raw)
        event.properties = {"who": name(n)}
        yield event


def send(plant: Plant, found: Iterator[EventData]) -> None:
    """Send to one partition, as many events in an AMQP batch as it takes."""

    async def run() -> None:
        client = EventHubProducerClient.from_connection_string(plant.connection, eventhub_name=HUB)
        async with client:
            batch = await client.create_batch(partition_id="0")
            for event in found:
                try:
                    batch.add(event)
                except ValueError:
                    await client.send_batch(batch)
                    batch = await client.create_batch(partition_id="0")
                    batch.add(event)
            await client.send_batch(batch)

    asyncio.run(run())


def metric(plant: Plant, name: str) -> float:
    listens = plant.folder / "http.json"
    if not listens.exists():
        return 0.0
    port = json.loads(listens.read_text())["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def most_memory(pid: int) -> int:
    """The highest RSS that a process has ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def committed(plant: Plant, count: int) -> None:
    """Drain until the account says that all is there, once."""
    plant.drain()
    report = plant.until(lambda found: found.batched >= count and not found.pending)
    assert not report.wrong, report.plain()
    assert report.batched == count
    assert not report.dead_letters


def test_ten_times_what_fits_comes_while_the_store_is_down(tmp_path: Path) -> None:
    plant = Plant(tmp_path, partitions=1)
    limit, rows, count = 8 * MIB, 4_000, 1_400
    plant.settings = settings({"open_bytes": limit})
    assert count * rows * ROW.itemsize > 10 * limit
    with running(plant):
        service = plant.start()
        send(plant, events(20, rows, lambda n: f"s{n % 7}"))
        until(lambda: plant.has_store() and metric(plant, "headrace_open_sensors") == 7, "begun")
        before = most_memory(service.pid)
        with redis.Redis.from_url(EmbeddedValkey(tmp_path / "valkey").url) as valkey:
            empty = valkey.info("memory")["used_memory"]
            with broken_store(tmp_path):
                send(plant, events(count, rows, lambda n: f"s{n % 7}"))
                paused = 'headrace_intake_pauses_total{cause="open_bytes"}'
                until(lambda: metric(plant, paused) >= 1, "the intake waits")
                lag = 'headrace_source_lag_events{partition="0"}'
                until(lambda: metric(plant, lag) > count / 2, "the hub keeps the rest")
            committed(plant, count + 20)
            most = valkey.info("memory")["used_memory_peak"] - empty
        assert most < 1.25 * limit + REDIS_BUFFERS
        in_flight = 300 * (5_000 + 2 * rows * ROW.itemsize)  # what links hold, and the handler
        grown = most_memory(service.pid) - before
        assert grown < in_flight + PROCESS_BUFFERS, grown
        reasons = metric(plant, 'headrace_batches_committed_total{reason="pressure"')
        assert reasons > 0
    assert "more comes than fits" in (tmp_path / "one.log").read_text()


@contextmanager
def broken_store(folder: Path) -> Iterator[None]:
    """Take the folder of bundles away for a while: nothing can be written."""
    store = json.loads((folder / "blobs" / "headrace.json").read_text())["id"]
    data, aside = folder / "blobs" / store / "data", folder / "aside"
    data.mkdir(parents=True, exist_ok=True)
    data.rename(aside)
    data.touch()
    yield
    data.unlink()
    aside.rename(data)


def test_a_flood_of_names_does_no_harm(tmp_path: Path) -> None:
    flood(tmp_path, names=50_000, limit=5_000)


@pytest.mark.slow
@pytest.mark.long
def test_a_flood_of_a_million_names_does_no_harm(tmp_path: Path) -> None:
    flood(tmp_path, names=1_000_000, limit=20_000)


def flood(folder: Path, names: int, limit: int) -> None:
    """Every tenth event is one of a steady sensor, the others are of a new one each."""
    plant = Plant(folder, partitions=1)
    plant.settings = settings({"open_sensors": limit}, max_chunks=100)
    plant.settings["receive"] = {"prefetch": 1_000, "max_batch": 1_000}
    with running(plant):
        service = plant.start()
        name = lambda n: "steady" if n % 10 == 0 else f"new{n}"  # noqa: E731
        send(plant, events(names, 1, name))
        most = held_meanwhile(plant, names)
        assert metric(plant, 'headrace_batches_committed_total{reason="pressure"') > names / 2
        committed(plant, names)
        assert most <= limit + 1_000  # one append may fill as many batches as it has events
        with redis.Redis.from_url(EmbeddedValkey(folder / "valkey").url) as valkey:
            peak = valkey.info("memory")["used_memory_peak"]
        assert peak < limit * 640 + REDIS_BUFFERS
        assert most_memory(service.pid) < EMPTY + limit * 1_000 + 3_000 * 5_000 + PROCESS_BUFFERS


def held_meanwhile(plant: Plant, count: int) -> float:
    """Wait until so many events have come in; give the most batches that were held."""
    most = received = 0.0
    last = time.monotonic()
    while received < count:
        before, received = received, metric(plant, "headrace_events_received_total")
        last = time.monotonic() if received > before else last
        assert time.monotonic() < last + PATIENCE_SECONDS, f"nothing comes after {received}"
        most = max(most, metric(plant, 'headrace_limit_used{limit="open_sensors"}'))
        time.sleep(0.2)
    return most
