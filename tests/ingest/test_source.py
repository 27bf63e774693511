"""Events through the real SDK as the partition's task gets them: plain, and several at once."""

import asyncio
from collections.abc import Sequence

import pytest
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient

from ingest.event import Event
from ingest.hub import Gate, HubServer, HubSettings
from ingest.hub_facts import HubAddress, SourceUnavailable
from ingest.source import GATHER_SECONDS, Source

MANY = 1_500


async def taken(server: HubServer, count: int) -> list[list[Event]]:
    """Receive partition 0 from its beginning; give what each call of the handler got."""
    calls: list[list[Event]] = []
    enough = asyncio.Event()

    async def handler(events: Sequence[Event]) -> None:
        calls.append(list(events))
        await asyncio.sleep(0.001)  # an append's answer from Redis
        if sum(map(len, calls)) >= count:
            enough.set()

    source = Source(HubAddress("telemetry", "$Default", server.connection_string("telemetry")))
    task = asyncio.create_task(source.receive("0", lambda: -1, handler))
    try:
        async with asyncio.timeout(30):
            await enough.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()
    return calls


async def send(server: HubServer, *events: EventData) -> None:
    client = EventHubProducerClient.from_connection_string(server.connection_string("telemetry"))
    async with client:
        await client.send_batch(list(events), partition_id="0")


def served() -> HubServer:
    return HubServer([HubSettings("telemetry", 1)], port=0)


def test_a_busy_link_gives_many_events_at_once_all_of_them_and_in_order() -> None:
    async def story() -> list[list[Event]]:
        async with served() as server:
            await send(server, *(EventData(str(number)) for number in range(MANY)))
            return await taken(server, MANY)

    calls = asyncio.run(story())
    assert [event.body.decode() for call in calls for event in call] == list(map(str, range(MANY)))
    assert len(calls) < MANY / 5, "each call is an append, which costs as much as many events"
    assert GATHER_SECONDS <= 0.05, "and nobody waits long for it"


def test_a_hub_that_refuses_a_key_is_heard_in_its_own_words() -> None:
    async def story() -> None:
        async with HubServer([HubSettings("telemetry", 1)], gate=Gate("a2V5")) as server:
            wrong = server.connection_string("telemetry").replace("a2V5", "b3RoZXI=")
            source = Source(HubAddress("telemetry", "$Default", wrong))
            try:
                await source.facts()
            finally:
                await source.close()

    with pytest.raises(SourceUnavailable, match=r"failed\. InvalidSignature: the token was made"):
        asyncio.run(story())


def test_an_event_in_plain_values_is_what_was_sent() -> None:
    sent = EventData(b"body")
    sent.message_id, sent.content_type = "id-1", "application/json"
    sent.properties = {"kind": "vibration", "size": 3, "raw": b"\xff"}

    async def story() -> list[list[Event]]:
        async with served() as server:
            await send(server, sent, EventData("bare"))
            return await taken(server, 2)

    full, bare = (event for call in asyncio.run(story()) for event in call)
    assert (full.sequence_number, bare.sequence_number) == (0, 1)
    assert (full.partition, full.body, bare.body) == ("0", b"body", b"bare")
    assert (full.message_id, full.content_type) == ("id-1", "application/json")
    assert full.properties == {"kind": "vibration", "size": 3, "raw": "\ufffd"}
    assert (bare.message_id, bare.content_type, bare.content_encoding) == ("", "", "")
    assert bare.properties == {}
    assert full.enqueued_ns == full.annotations["x-opt-enqueued-time"] * 1_000_000
    assert all(type(name) is str for name in full.annotations)
