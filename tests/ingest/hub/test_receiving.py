"""What the SDK's consumers may rely on, each in one test."""

import asyncio
import datetime as dt
from contextlib import AsyncExitStack
from typing import Any

import pytest
from azure.eventhub import EventData, EventHubConsumerClient
from azure.eventhub.aio import EventHubConsumerClient as AioConsumer
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.exceptions import EventHubError

from ingest.hub import HubSettings
from tests.ingest.hub.conftest import Serve
from tests.ingest.hub.sdk import QUICK, bodies, consuming, failure, receive, run, send

ONE = HubSettings("telemetry", partitions=1, groups=("second",))


def test_a_waiting_consumer_gets_an_event_at_once(serve: Serve) -> None:
    hub = serve(ONE).at()

    async def story() -> float:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[float] = asyncio.Queue()

        async def take(_context: Any, _event: EventData) -> None:
            arrived.put_nowait(loop.time())

        consumer = AioConsumer.from_connection_string(hub, "$Default")
        producer = AioProducer.from_connection_string(hub)
        async with producer, consuming(consumer, consumer.receive(take, starting_position="-1")):
            await producer.send_event(EventData("warm"))
            await arrived.get()
            start = loop.time()
            await producer.send_event(EventData("now"))
            return await arrived.get() - start

    assert run(story()) < 1.0


def test_an_unknown_consumer_group_is_not_found(serve: Serve) -> None:
    error = run(failure(serve(ONE).at(), group="nobody"))
    assert "could not be found" in str(error)


def test_an_unknown_partition_is_named(serve: Serve) -> None:
    error = run(failure(serve(ONE).at(), partition_id="7"))
    assert "Wrong partition id:7" in str(error)


def test_a_higher_owner_level_takes_the_partition(serve: Serve) -> None:
    served = serve(ONE)
    hub = served.at()
    run(send(hub, ["x"]))

    async def story() -> Exception:
        lower = asyncio.create_task(failure(hub, partition_id="0", owner_level=1))
        await served.until_readers(1)
        assert bodies(await receive(hub, 1, partition_id="0", owner_level=2)) == ["x"]
        return await lower

    assert "owner level 2 took over" in str(run(story()))


@pytest.mark.parametrize("level", [{"owner_level": 1}, {}])
def test_a_lower_owner_level_or_none_is_refused(serve: Serve, level: dict[str, int]) -> None:
    served = serve(ONE)
    hub = served.at()

    async def story() -> Exception:
        async def take(_context: Any, _event: Any) -> None: ...

        owner = AioConsumer.from_connection_string(hub, "$Default")
        async with consuming(owner, owner.receive(take, partition_id="0", owner_level=5)):
            await served.until_readers(1)
            return await failure(hub, partition_id="0", **level)

    assert "owner level 5 already exists" in str(run(story()))


def test_a_sixth_receiver_without_owner_level_is_refused(serve: Serve) -> None:
    served = serve(ONE)
    hub = served.at()

    async def take(_context: Any, _event: Any) -> None: ...

    async def story() -> Exception:
        async with AsyncExitStack() as five:
            for _ in range(5):
                consumer = AioConsumer.from_connection_string(hub, "$Default")
                receiving = consumer.receive(take, partition_id="0")
                await five.enter_async_context(consuming(consumer, receiving))
            await served.until_readers(5)
            return await failure(hub, partition_id="0")

    assert "5 receivers" in str(run(story()))


def test_the_end_of_the_partition_is_told_with_each_event_if_asked(serve: Serve) -> None:
    hub = serve(ONE).at()
    run(send(hub, "abc"))

    async def story() -> dict[str, Any]:
        seen: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def take(context: Any, _event: Any) -> None:
            if not seen.done():
                seen.set_result(context.last_enqueued_event_properties)

        consumer = AioConsumer.from_connection_string(hub, "$Default")
        receiving = consumer.receive(
            take, starting_position="-1", track_last_enqueued_event_properties=True
        )
        async with consuming(consumer, receiving):
            return await seen

    last = run(story())
    assert last["sequence_number"] == 2
    assert int(last["offset"]) > 0
    age = dt.datetime.now(dt.UTC) - last["enqueued_time"]
    assert dt.timedelta() <= age < dt.timedelta(minutes=1)
    assert last["retrieval_time"] >= last["enqueued_time"]


def test_the_hub_describes_itself(serve: Serve) -> None:
    hub = serve(HubSettings("telemetry", partitions=3)).at()
    with EventHubConsumerClient.from_connection_string(hub, "$Default") as consumer:
        told = consumer.get_eventhub_properties()
        assert consumer.get_partition_ids() == ["0", "1", "2"]
    assert told["eventhub_name"] == "telemetry"
    assert abs(dt.datetime.now(dt.UTC) - told["created_at"]) < dt.timedelta(minutes=1)


def test_a_partition_describes_itself_empty_and_filled(serve: Serve) -> None:
    hub = serve(ONE).at()

    async def story() -> tuple[dict[str, Any], dict[str, Any]]:
        async with AioConsumer.from_connection_string(hub, "$Default") as consumer:
            empty = await consumer.get_partition_properties("0")
            await send(hub, "abc")
            return empty, await consumer.get_partition_properties("0")

    empty, filled = run(story())
    assert (empty["is_empty"], empty["last_enqueued_sequence_number"]) == (True, -1)
    assert (filled["is_empty"], filled["last_enqueued_sequence_number"]) == (False, 2)
    assert filled["beginning_sequence_number"] == 0
    assert filled["id"] == "0"
    last = run(receive(hub, 3))[-1]
    assert filled["last_enqueued_offset"] == last.offset
    assert filled["last_enqueued_time_utc"] == last.enqueued_time


def test_questions_about_what_is_not_there_say_so(serve: Serve) -> None:
    hub = serve(ONE).at()

    async def story() -> None:
        async with AioConsumer.from_connection_string(hub, "$Default", **QUICK) as consumer:
            with pytest.raises(EventHubError, match="could not be found"):
                await consumer.get_partition_properties("5")

    run(story())


def test_a_blocked_handler_stops_the_flow_at_its_credit(serve: Serve) -> None:
    served = serve(ONE)
    hub = served.at()

    async def story() -> tuple[int, int]:
        for _ in range(3):
            await send(hub, [bytes(100)] * 1_000)
        release, all_there, got = asyncio.Event(), asyncio.Event(), []

        async def take(_context: Any, events: list[EventData]) -> None:
            got.extend(events)
            if len(got) == 3_000:
                all_there.set()
            await release.wait()

        consumer = AioConsumer.from_connection_string(hub, "$Default")
        receiving = consumer.receive_batch(
            take, starting_position="-1", prefetch=300, max_batch_size=100
        )
        async with consuming(consumer, receiving):
            await served.until_readers(1)
            await asyncio.sleep(1.0)
            (reader,) = served.server._hubs["telemetry"].readers["$default", "0"]
            sent_while_blocked = reader.count
            release.set()
            await all_there.wait()
        return sent_while_blocked, len(got)

    sent_while_blocked, got = run(story())
    assert sent_while_blocked <= 1_000
    assert got == 3_000
