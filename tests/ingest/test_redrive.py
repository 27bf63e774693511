"""A re-driven event is to classification what it was, and its partition is read like the hub's."""

import asyncio
import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import chunk, names
from batching.adapters.folder import FolderStore
from batching.clock import SystemClock
from batching.errors import CorruptBuffer, WrongStore
from batching.letters import Letter
from batching.model import Redrive, Store, dump
from batching.redrive import RedriveLog, Redriver, redriven
from ingest.classify import Classified
from ingest.decode.problem import Reason
from ingest.event import Event
from ingest.hub_facts import PartitionFacts, SourceUnavailable
from ingest.redrive import RedriveSource, events_of
from tests.ingest.decode.given import NOW_NS, event, letter, rules, samples, spec
from tests.ingest.test_classify import EVERY_KIND, SAMPLE, classifier, events

LATER_NS = NOW_NS + 3_600 * 10**9


def back(found: Classified) -> Event:
    """Give the event by which a dead letter comes back, an hour later."""
    (encoded,) = chunk.read(found.elements[0].body)
    number, message = encoded.sequence_number, encoded.message_id
    lies = Letter("0", number, encoded.enqueued_ns, message, found.of, letter(found))
    made = Redrive("id", "hub", 4, LATER_NS, "w", (redriven(lies),))
    read = Redrive(**{**json.loads(dump(made)), "letters": made.letters})
    (event,) = events_of(read)
    return event


@settings(max_examples=150)
@given(events, st.sampled_from(EVERY_KIND), st.sampled_from(EVERY_KIND))
def test_a_letter_is_classified_as_the_event_that_it_was(arrived, before, now) -> None:
    """By the settings that it failed by, and by any others."""
    found = classifier(*before, unmatched="dead_letter").classify(arrived)
    if found.reason is None:
        return
    again = back(found)
    assert (again.sequence_number, again.enqueued_ns) == (4, LATER_NS)
    for streams in (before, now):
        first = classifier(*streams).classify(arrived._replace(sequence_number=4))
        second = classifier(*streams).classify(again)
        assert (second.stream, second.reason, second.of) == (first.stream, first.reason, first.of)
        assert [e.key for e in second.elements] == [e.key for e in first.elements]
        if first.reason is None:
            for one, other in zip(first.elements, second.elements, strict=True):
                assert [a.tobytes() for a in samples(one)] == [a.tobytes() for a in samples(other)]


@pytest.mark.parametrize("value", [True, 2.5, None, ["a"], {"a": 1}, b"\xff"])
def test_a_value_that_names_no_sensor_does_not_become_a_name_as_text(value: object) -> None:
    stream = rules(sensor=rules().sensor.__class__("property", "who"))
    found = classifier(stream).classify(event(SAMPLE, properties={"who": value}))
    assert found.reason in (Reason.BAD_SENSOR, Reason.NO_SENSOR)
    assert classifier(stream).classify(back(found)).reason is found.reason


def test_relative_times_refer_to_when_the_hub_got_the_event() -> None:
    body = b'[{"bn": "x", "t": -10, "v": 1}, {"t": -5, "v": 2, "u": 7}]'
    stream = rules(spec("senml", ["value"]), rules().sensor)
    found = classifier(rules(spec("npy"))).classify(event(body))
    assert found.reason is not None
    again = classifier(stream).classify(back(found))
    first = classifier(stream).classify(event(body))
    if first.reason is None:
        assert samples(again.elements[0])[0].tolist() == samples(first.elements[0])[0].tolist()
    assert again.reason == first.reason
    twice = classifier(rules(spec("npy"))).classify(back(found))  # it failed again
    assert letter(twice).arrived_ns == NOW_NS
    assert back(twice).arrived_ns == NOW_NS


class World:
    """A store with letters that come back, and what a consumer of them is handed."""

    def __init__(self, folder: Path) -> None:
        self.root = FolderStore(folder)
        self.log = RedriveLog(self.root, Store("id", "ns", "h", "hub", "g", {"0": 0}, 0))
        self.source = RedriveSource(self.log, poll_seconds=0.01)
        self.got: list[int] = []

    async def drive(self, *given: int) -> None:
        redriver = Redriver(self.log, SystemClock(), writer="test")
        await redriver.open()
        for number in given:
            said = chunk.DeadLetter("bad_json", "", b"{", 1)
            await redriver.add(Letter("0", number, 5, "m", "s", said))
        await redriver.finish()

    async def receive(self, upto: int) -> None:
        """Receive behind what was handed over, until number `upto` is."""
        done = asyncio.Event()

        async def handler(arrived: Sequence[Event]) -> None:
            self.got += [each.sequence_number for each in arrived]
            if self.got and self.got[-1] >= upto:
                done.set()

        after = lambda: self.got[-1] if self.got else -1  # noqa: E731
        task = asyncio.create_task(self.source.receive("redrive", after, handler))
        waiting = asyncio.create_task(done.wait())
        async with asyncio.timeout(30):
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        if not task.cancelled():
            task.result()


def test_events_come_in_order_wherever_a_consumer_begins(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        assert await world.source.partition("redrive") == PartitionFacts(0, -1, empty=True)
        await world.drive(7, 8, 9)
        await world.drive(3, 4)
        assert await world.source.partition("redrive") == PartitionFacts(0, 4, empty=False)
        world.got = [1]  # in the middle of an object
        await world.receive(4)
        assert world.got == [1, 2, 3, 4]
        await asyncio.gather(world.receive(5), world.drive(11))
        assert world.got == [1, 2, 3, 4, 5]
        assert await RedriveSource(world.log).partition("redrive") == PartitionFacts(0, 5, False)

    asyncio.run(story())


def test_an_object_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        await world.drive(1)
        path = tmp_path / names.redriven("hub", 0)
        whole = json.loads(path.read_text())
        for broken in ({**whole, "format": 99}, {**whole, "first": 3}, body_of(whole, "??")):
            path.write_text(json.dumps(broken))
            with pytest.raises(SourceUnavailable):
                await world.receive(0)
        path.write_text(json.dumps(body_of(whole, base64.b64encode(b"x").decode())))
        await world.receive(0)
        assert world.got == [0]

    asyncio.run(story())


def body_of(plain: dict, body: str) -> dict:
    return {**plain, "letters": [{**plain["letters"][0], "body": body}]}


def test_a_store_older_than_redis_makes_redis_forget_and_one_older_than_its_position_stops(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        world = World(tmp_path)
        await world.drive(1, 2)
        await world.source.check("redrive", 1)
        with pytest.raises(CorruptBuffer, match="up to 2, the store 1"):
            await world.source.check("redrive", 2)
        await world.source.check("redrive", 1)  # wiped, so it begins at the checkpoint
        with pytest.raises(CorruptBuffer):
            await world.source.check("redrive", 2)
        with pytest.raises(WrongStore):
            await world.source.check("redrive", 2)

    asyncio.run(story())
