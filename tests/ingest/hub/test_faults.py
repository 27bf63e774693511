"""A hub that is asked to go wrong goes wrong as it was asked, and loses nothing."""

import asyncio
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient
from azure.eventhub.exceptions import ConnectError, EventHubError

from ingest.hub import Faults, HubSettings
from tests.ingest.hub.conftest import Serve
from tests.ingest.hub.sdk import consuming, failure, run, send

COUNT = 300


def numbers(connection: str, start: int) -> list[int]:
    """Receive until the last event is there; give sequence numbers as they came."""
    seen: list[int] = []

    async def story() -> None:
        last = asyncio.Event()

        async def take(_context: Any, events: list[EventData]) -> None:
            seen.extend(int(event.sequence_number or 0) for event in events)
            if COUNT - 1 in seen:
                last.set()

        consumer = EventHubConsumerClient.from_connection_string(connection, "$Default")
        receiving = consumer.receive_batch(
            take,
            partition_id="0",
            starting_position=start,
            starting_position_inclusive=True,
            prefetch=50,  # several slices
        )
        async with asyncio.timeout(30), consuming(consumer, receiving):
            await last.wait()

    run(story())
    return seen


def test_events_are_delivered_again_on_one_link_and_none_is_left_out(serve: Serve) -> None:
    faults = Faults(redeliver=1.0, seed=3)
    hub = serve(HubSettings("telemetry", partitions=1, faults=faults)).at()
    run(send(hub, [str(n) for n in range(COUNT)]))
    seen = numbers(hub, 100)
    assert set(seen) == set(range(100, COUNT))  # what lies before its start is not its business
    assert len(seen) > COUNT - 100


def test_a_dropped_link_is_told_why(serve: Serve) -> None:
    hub = serve(HubSettings("telemetry", partitions=1, faults=Faults(drop=1.0))).at()
    run(send(hub, ["x"]))
    error = run(failure(hub, partition_id="0"))
    assert isinstance(error, ConnectError | EventHubError)
    assert "a fault that the hub was asked for" in str(error)
