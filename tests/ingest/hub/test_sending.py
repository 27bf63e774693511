"""What the SDK's producers may rely on, each in one test."""

import pytest
from azure.eventhub import EventData, EventHubProducerClient
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.amqp import AmqpAnnotatedMessage
from azure.eventhub.exceptions import EventHubError

from ingest.hub import HubSettings
from tests.ingest.hub.conftest import Serve
from tests.ingest.hub.sdk import (
    bodies,
    counts,
    receive,
    receive_blocking,
    run,
    send,
)

ONE = HubSettings("telemetry", partitions=1)


def test_the_asyncio_client_sends_a_batch_and_receives_it_in_order(serve: Serve) -> None:
    hub = serve(ONE).at()
    wanted = [f"event {i}" for i in range(250)]
    run(send(hub, wanted))
    got = run(receive(hub, 250))
    assert bodies(got) == wanted
    assert [event.sequence_number for event in got] == list(range(250))


def test_the_blocking_client_sends_and_receives(serve: Serve) -> None:
    hub = serve(ONE).at()
    with EventHubProducerClient.from_connection_string(hub) as producer:
        producer.send_batch([EventData("one"), EventData("two")])
    assert bodies(receive_blocking(hub, 2)) == ["one", "two"]


def test_a_buffered_producer_delivers_everything(serve: Serve) -> None:
    hub = serve().at()
    failed: list[object] = []

    async def fail(events: object, partition: str, error: Exception) -> None:
        failed.append((events, partition, error))

    async def deliver(_events: object, _partition: str) -> None: ...

    async def story() -> list[EventData]:
        producer = AioProducer.from_connection_string(
            hub, buffered_mode=True, on_success=deliver, on_error=fail, max_wait_time=0.2
        )
        async with producer:
            for i in range(40):
                await producer.send_event(EventData(str(i)))
        return await receive(hub, 40)

    assert sorted(map(int, bodies(run(story())))) == list(range(40))
    assert not failed


def test_everything_that_a_sender_says_about_an_event_arrives(serve: Serve) -> None:
    hub = serve().at()

    async def story() -> EventData:
        event = EventData(b"\x00\xff body")
        event.properties = {"kind": "vibration", "gain": 2.5, "count": 7, "ok": True}
        event.content_type, event.message_id = "application/json", "id-1"
        event.correlation_id = "why"
        async with AioProducer.from_connection_string(hub) as producer:
            await producer.send_event(event, partition_key="press-7")
        return (await receive(hub, 1))[0]

    got = run(story())
    assert b"".join(got.body) == b"\x00\xff body"
    assert got.properties == {b"kind": b"vibration", b"gain": 2.5, b"count": 7, b"ok": True}
    assert (got.content_type, got.message_id) == ("application/json", "id-1")
    assert got.correlation_id == "why"
    assert got.partition_key == b"press-7"
    assert got.enqueued_time is not None


def test_bodies_of_all_three_amqp_kinds_arrive(serve: Serve) -> None:
    hub = serve(ONE).at()

    async def story() -> list[EventData]:
        async with AioProducer.from_connection_string(hub) as producer:
            await producer.send_event(AmqpAnnotatedMessage(value_body={"a": [1, None]}))
            await producer.send_event(AmqpAnnotatedMessage(sequence_body=[1, b"two", 3.5]))
            await producer.send_event(AmqpAnnotatedMessage(data_body=[b"one", b"two"]))
        return await receive(hub, 3)

    value, sequence, data = run(story())
    assert value.body == {b"a": [1, None]}
    assert list(sequence.body) == [[1, b"two", 3.5]]
    assert list(data.body) == [b"one", b"two"]


def test_events_of_one_key_share_a_partition_also_after_a_restart(serve: Serve, data) -> None:
    served = serve(HubSettings("telemetry", partitions=8), data=data)

    async def send_each() -> list[int]:
        async with AioProducer.from_connection_string(served.at()) as producer:
            for i in range(24):
                await producer.send_event(EventData("x"), partition_key=f"press-{i}")
        return await counts(served.at())

    before = run(send_each())
    served.restart()
    assert run(send_each()) == [2 * count for count in before]
    assert sum(count > 0 for count in before) > 4


def test_a_partition_id_decides_the_partition(serve: Serve) -> None:
    hub = serve().at()
    run(send(hub, ["here"], partition_id="2"))
    assert run(counts(hub)) == [0, 0, 1, 0]


def test_events_without_key_go_round_the_partitions(serve: Serve) -> None:
    hub = serve().at()

    async def story() -> list[int]:
        async with AioProducer.from_connection_string(hub) as producer:
            for i in range(8):
                await producer.send_event(EventData(str(i)))
        return await counts(hub)

    assert run(story()) == [2, 2, 2, 2]


def test_a_message_larger_than_a_frame_arrives_whole(serve: Serve) -> None:
    hub = serve(ONE).at()
    body = bytes(i % 251 for i in range(1_000_000))
    run(send(hub, [body]))
    (got,) = run(receive(hub, 1))
    assert b"".join(got.body) == body


def test_a_message_over_one_mebibyte_is_refused_by_name(serve: Serve) -> None:
    hub = serve().at()

    async def story() -> None:
        async with AioProducer.from_connection_string(hub) as producer:
            batch = await producer.create_batch()
            assert batch.max_size_in_bytes == 2**20
            with pytest.raises(ValueError, match="size limit"):
                batch.add(EventData(bytes(2**20)))

    run(story())


@pytest.mark.parametrize("partition", ["9", "nowhere"])
def test_an_unknown_partition_is_named(serve: Serve, partition: str) -> None:
    with pytest.raises(EventHubError, match=f"Invalid partition {partition}"):
        run(send(serve().at(), ["x"], partition_id=partition))


def test_an_unknown_hub_is_not_found(serve: Serve) -> None:
    hub = serve().at().replace("EntityPath=telemetry", "EntityPath=nowhere")
    with pytest.raises(EventHubError, match="could not be found"):
        run(send(hub, ["x"]))


def test_several_hubs_share_a_port_and_nothing_else(serve: Serve) -> None:
    served = serve(HubSettings("telemetry", partitions=2), HubSettings("alarms", partitions=1))
    run(send(served.at("telemetry"), ["t"]))
    assert sum(run(counts(served.at("telemetry")))) == 1
    assert run(counts(served.at("alarms"))) == [0]
