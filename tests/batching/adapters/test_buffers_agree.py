"""Redis and the model answer alike, whatever order of calls hypothesis thinks of."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batching.adapters import redis_buffer
from batching.adapters.redis_buffer import RedisBuffer
from batching.adapters.redis_server import connect
from batching.model import SealReason
from batching.names import Key
from batching.ports import Buffer, Group, Parkable, SealedBuffer, Shell
from tests.batching.adapters.buffer_model import NEVER_US, BufferModel

KEYS = [Key("vib", "a"), Key("vib", "b 1:b2"), Key("_dead", "a/%2Fä🙂'\"{}*")]
REASONS = st.sampled_from([None, None, None, None, SealReason.MAX_SAMPLES, SealReason.MAX_BYTES])
STATES = [b"\x00\x00s", b"two"]
EVERYTHING = 2**30
numbers = itertools.count()


def groups_of(draw: st.DrawFn, w: int) -> list[dict[str, Any]]:
    """Draw what one append brings: rising numbers above w, beliefs mostly right."""
    groups = []
    for _ in range(draw(st.sampled_from([1, 2, 3, 4, 0]))):
        first = w + draw(st.integers(1, 3))
        w = first + draw(st.integers(0, 2))
        groups.append(
            {
                "key": draw(st.sampled_from(KEYS)),
                "first": first,
                "last": w,
                "bodies": draw(st.sampled_from([[b"\x00\r\n"], [b"chunk" * 3], [b"two", b"\x02"]])),
                "wrong": draw(st.sampled_from([0, 0, 0, 0, 0, 1, 7])),
                "astray": draw(st.sampled_from([0, 0, 0, 0, 0, 3])),
                "state": draw(st.sampled_from(STATES)),
                "due_us": draw(st.sampled_from([5, 10, 1_795_000_000_123_457, NEVER_US])),
                "seal_before": draw(REASONS),
                "seal_after": draw(REASONS),
            }
        )
    return groups


def bare(answer: Any) -> Any:
    """Leave out what stands before the chunks of elements, which is Redis's own."""
    if isinstance(answer, list) and answer and isinstance(answer[0], SealedBuffer | Parkable):
        cut = [tuple((0, raw[begin:]) for begin, raw in held.elements) for held in answer]
        return [replace(held, elements=each) for held, each in zip(answer, cut, strict=True)]
    return answer


class TwoBuffers(RuleBasedStateMachine):
    """Each rule makes the same call of both; after each, both are looked at."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.now_us = 1_795_000_000_000_000
        self.loop = asyncio.Runner()
        self.client = connect(self.url)
        real = RedisBuffer(self.client, f"hr:{{test/{next(numbers)}}}:", lambda: self.now_us)
        self.model = BufferModel(lambda: self.now_us)
        self.buffers: list[Buffer] = [self.model, real]
        self.appends = 0  # since everything was gone

    def teardown(self) -> None:
        self.loop.run(self.buffers[1].wipe())
        self.loop.run(self.client.aclose())
        self.loop.close()

    def both(self, call: Callable[[Buffer], Awaitable[Any]]) -> Any:
        async def answers() -> list[Any]:
            return [bare(await call(buffer)) for buffer in self.buffers]

        self.now_us += 1
        expected, actual = self.loop.run(answers())
        assert actual == expected
        return expected

    @initialize(start=st.sampled_from([-1, 41, 10**14 + 1, 2**53 - 10_000]))
    def attached(self, start: int) -> None:
        self.both(lambda buffer: buffer.attach(start))

    @rule(checkpoint_ahead=st.integers(-3, 3), manifest=st.integers(-1, 9))
    def attach(self, checkpoint_ahead: int, manifest: int) -> None:
        checkpoint = max(-1, self.model._w + checkpoint_ahead)
        self.both(lambda buffer: buffer.attach(checkpoint, manifest))

    @rule(data=st.data(), rounds=st.integers(1, 4))
    def append(self, data: st.DataObject, rounds: int) -> None:
        for _ in range(rounds):
            self.append_once(data, 0)

    @rule(data=st.data(), off=st.sampled_from([-1, 1]))
    def append_elsewhere(self, data: st.DataObject, off: int) -> None:
        self.append_once(data, off)

    def append_once(self, data: st.DataObject, off: int) -> None:
        self.appends += 1
        w = self.model._w
        drawn = data.draw(st.composite(groups_of)(w))
        groups = self.believing(drawn)
        last = max([w, *(group.last for group in groups)])
        manifest = data.draw(st.integers(-1, 9))
        self.both(lambda buffer: buffer.append(w + off, last, groups, manifest))

    def believing(self, drawn: list[dict[str, Any]]) -> list[Group]:
        """Fill in what an owner would believe of each buffer, off by `wrong`."""
        held = {
            key: (found.totals.items, found.totals.size_bytes, found.totals.due_us)
            for key, found in self.model._open.items()
        }
        groups = []
        for fields in drawn:
            key, wrong, astray = fields["key"], fields.pop("wrong"), fields.pop("astray")
            before = fields["seal_before"] is None and held.get(key)
            had, size_bytes, due_us = before or (0, 0, fields["due_us"])
            size_bytes += sum(map(len, fields["bodies"])) + astray
            fields |= {"due_us": due_us, "size_bytes": size_bytes}
            groups.append(Group(believed=had + wrong, **fields))
            held[key] = (had + 1, size_bytes, due_us)
            if fields["seal_after"] or wrong or (astray and had == 1):
                del held[key]
        return groups

    @rule(limit=st.integers(1, 5))
    def seal_open(self, limit: int) -> None:
        self.both(lambda buffer: buffer.seal_open(SealReason.DRAIN, limit))

    @rule(keys=st.lists(st.sampled_from(KEYS)))
    def seal_keys(self, keys: list[Key]) -> None:
        self.both(lambda buffer: buffer.seal_keys(SealReason.PRESSURE, keys))

    @rule(max_bytes=st.sampled_from([0, 15, 40]), max_buffers=st.integers(1, 3))
    def peek(self, max_bytes: int, max_buffers: int) -> None:
        self.both(lambda buffer: buffer.peek(max_bytes, max_buffers))

    @rule(
        data=st.data(),
        k_off=st.sampled_from([0, 0, 0, 1]),
        last_off=st.sampled_from([0, 0, 2, -1]),
        key=st.sampled_from([None, None, None, *KEYS]),
    )
    def ack(self, data: st.DataObject, k_off: int, last_off: int, key: Key | None) -> None:
        sealed = list(self.model._out.values())
        chosen = data.draw(st.lists(st.sampled_from(sealed), max_size=3)) if sealed else []
        done = [(b.k + k_off, key or b.key, b.last + last_off) for b in chosen]
        manifest = data.draw(st.integers(0, 9))
        self.both(lambda buffer: buffer.ack(done, manifest))

    @rule(key=st.sampled_from(KEYS), back=st.integers(0, 9), manifest=st.integers(-1, 9))
    def forget(self, key: Key, back: int, manifest: int) -> None:
        upto = self.model._w - back
        self.both(lambda buffer: buffer.forget(key, upto, manifest))

    @rule(
        back=st.sampled_from([0, 0, 1, 4]),
        max_bytes=st.sampled_from([0, 100, EVERYTHING]),
        max_buffers=st.integers(1, 4),
        mark_off=st.sampled_from([0, 0, 0, -1, -2, 1]),
        manifest=st.integers(-1, 9),
    )
    def park(
        self, back: int, max_bytes: int, max_buffers: int, mark_off: int, manifest: int
    ) -> None:
        upto = self.model._w - back
        found = self.both(lambda buffer: buffer.parkable(upto, max_bytes, max_buffers))
        marks = [(held.open.key, held.open.last + mark_off) for held in found]
        self.both(lambda buffer: buffer.release(marks, manifest))

    @rule(
        marks=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 9)), max_size=3),
        manifest=st.integers(-1, 9),
    )
    def release(self, marks: list[tuple[Key, int]], manifest: int) -> None:
        w = self.model._w
        durable = [(key, w - back) for key, back in marks]
        self.both(lambda buffer: buffer.release(durable, manifest))

    @rule(
        keys=st.lists(st.sampled_from(KEYS), max_size=3),
        due_us=st.sampled_from([5, 10, 1_795_000_000_123_457, NEVER_US]),
        state=st.sampled_from(STATES),
    )
    def restore(self, keys: list[Key], due_us: int, state: bytes) -> None:
        shells = [Shell(key, max(self.model._w, 1), 7, due_us, state) for key in keys]
        self.both(lambda buffer: buffer.restore(shells))

    @precondition(lambda self: self.appends > 12)
    @rule()
    def wipe(self) -> None:
        self.appends = 0
        self.both(lambda buffer: buffer.wipe())

    @precondition(lambda self: self.appends > 12)
    @rule()
    def redis_loses_everything(self) -> None:
        self.appends = 0

        async def lose() -> None:
            await self.client.flushall()
            await self.client.script_flush()
            await self.model.wipe()

        self.loop.run(lose())

    @invariant()
    def both_hold_the_same(self) -> None:
        async def opened(buffer: Buffer) -> Any:
            return sorted(await buffer.opened(), key=lambda found: found.key)

        self.both(lambda buffer: buffer.low())
        self.both(lambda buffer: buffer.acknowledged())
        self.both(lambda buffer: buffer.peek(EVERYTHING, EVERYTHING))
        self.both(lambda buffer: buffer.parkable(2**53, EVERYTHING, EVERYTHING))
        self.both(opened)


def test_redis_answers_as_the_model_does(valkey: str) -> None:
    TwoBuffers.url = valkey
    assert redis_buffer.NEVER_US == NEVER_US
    run_state_machine_as_test(
        TwoBuffers,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
