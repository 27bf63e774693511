"""Each script by itself on a real server: its contract, paging, torn steps, loss, bad servers."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ResponseError

from batching.adapters import redis_buffer
from batching.adapters.redis_buffer import NEVER_US, RedisBuffer, older_prefix, prefix, source
from batching.adapters.redis_server import Client, connect
from batching.errors import BufferFull, BufferUnavailable, CorruptBuffer
from batching.model import SealReason
from batching.names import Key
from batching.ports import Appended, Group, Parkable, Released, SealedBuffer, Shell

T = prefix("store", "3")
A, B = Key("vib", "press 1"), Key("heat", "a/b")
EVERYTHING = 2**30


def spans(held: SealedBuffer | Parkable) -> list[tuple[int, int]]:
    """Read first and last number where an item has them."""
    found = [struct.unpack_from("<Bdd", raw)[1:] for _, raw in held.elements]
    return [(int(first), int(last)) for first, last in found]


class Redis:
    """One client, its buffer, and a loop to run both in."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.client: Client = connect(url)
        self.buffer = RedisBuffer(self.client, T, lambda: 77)

    def run(self, call: Awaitable[Any]) -> Any:
        async def answer() -> Any:
            return await call

        return self.runner.run(answer())

    def append(self, prev: int, *groups: Group, last: int | None = None) -> Any:
        upto = groups[-1].last if last is None else last
        return self.run(self.buffer.append(prev, upto, groups))

    def keys(self) -> list[str]:
        found = self.run(self.client.keys("*"))
        return sorted(name.decode().removeprefix(T) for name in found)

    def park(self, upto: int, max_bytes: int = EVERYTHING, max_buffers: int = 99) -> Any:
        found = self.run(self.buffer.parkable(upto, max_bytes, max_buffers))
        return [(b.open.key, spans(b)) for b in found]

    def lo(self) -> Any:
        return self.run(self.buffer.low()).lo

    def content(self) -> dict[int, list[tuple[int, int]]]:
        sealed = self.run(self.buffer.peek(EVERYTHING, EVERYTHING))
        return {b.k: spans(b) for b in sealed}


@pytest.fixture
def redis(valkey: str) -> Iterator[Redis]:
    server = Redis(valkey)
    yield server
    server.run(server.client.aclose())
    server.runner.close()


def group(key: Key, first: int, last: int, *, believed: int = 0, **fields: Any) -> Group:
    """Make a group; unless told, each item of the buffer has four bytes, as this one has."""
    body = fields.pop("body", b"body")
    size = {"size_bytes": 4 * believed + len(body)}
    values: dict[str, Any] = {"state": b"state", "due_us": 1000} | size | fields
    return Group(key, first, last, [body[:2], body[2:]], believed, **values)


def test_all_keys_of_a_partition_carry_one_hash_tag() -> None:
    assert T == "hr:{store/3}:"


def test_attach_raises_w_and_never_lowers_it(redis: Redis) -> None:
    answers = [redis.run(redis.buffer.attach(c)) for c in (-1, 2**53 - 2, 5)]
    assert answers == [-1, 2**53 - 2, 2**53 - 2]
    assert redis.run(redis.client.get(f"{T}w")) == b"9007199254740990"


def test_append_behind_or_ahead_of_w_changes_nothing(redis: Redis) -> None:
    redis.run(redis.buffer.attach(10))
    gap, behind = redis.append(11, group(A, 12, 12)), redis.append(9, group(A, 10, 10))
    assert (gap.outcome, gap.w) == (Appended.GAP, 10)
    assert (behind.outcome, behind.w) == (Appended.BEHIND, 10)
    assert redis.keys() == ["w"]


def test_append_without_groups_moves_w(redis: Redis) -> None:
    redis.run(redis.buffer.attach(10))
    assert redis.append(10, last=14).w == 14


def test_the_last_item_tells_all_about_its_buffer(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 3, due_us=NEVER_US))
    redis.append(3, group(A, 5, 6, believed=1, state=b"\x00new", due_us=NEVER_US))
    (found,) = redis.run(redis.buffer.opened())
    assert (found.key, found.items, found.last, found.size_bytes) == (A, 2, 6, 8)
    assert (found.due_us, found.state) == (NEVER_US, b"\x00new")


def test_an_append_writes_one_item_a_group_and_nothing_else(redis: Redis) -> None:
    for n in range(3):
        redis.append(n - 1, group(A, n, n, believed=n))
    assert redis.run(redis.client.llen(f"{T}b:{A.text()}")) == 3


def test_w_never_goes_back(redis: Redis) -> None:
    redis.append(-1, group(A, 5, 9))
    assert redis.append(9, group(A, 6, 7, believed=1), last=3).w == 9


def test_append_seals_before_and_after_as_the_owner_decided(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0))
    before, after = SealReason.MAX_BYTES, SealReason.MAX_SAMPLES
    answer = redis.append(0, group(A, 1, 1, seal_before=before, seal_after=after))
    sealed = redis.run(redis.buffer.peek(EVERYTHING, 10))
    assert answer.resynced == ()
    assert [(b.k, b.reason, b.sealed_us, b.last) for b in sealed] == [
        (1, before, 77, 0),
        (2, after, 77, 1),
    ]


def test_a_wrong_belief_seals_at_once_and_is_reported(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0), group(B, 1, 1))
    answer = redis.append(1, group(A, 2, 2, believed=5), group(B, 3, 3, believed=1))
    (sealed,) = redis.run(redis.buffer.peek(EVERYTHING, 10))
    assert answer.resynced == (A,)
    assert (sealed.reason, redis.content()) == (SealReason.RESYNC, {1: [(0, 0), (2, 2)]})


def test_a_shell_in_the_place_of_the_one_item_that_was_known_is_noticed(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0))
    redis.run(redis.buffer.seal_keys(SealReason.MAX_AGE, [A]))
    redis.run(redis.buffer.restore([shell(A, 5)]))
    assert redis.append(0, group(A, 1, 1, believed=1)).resynced == (A,)
    assert redis.lo() == 0


def test_what_another_owner_sealed_is_named_again_where_it_is_pushed(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0))
    redis.run(redis.buffer.seal_keys(SealReason.MAX_AGE, [A]))
    redis.run(redis.buffer.ack([(1, A, 0)], 0))
    assert redis.append(0, group(A, 1, 1, believed=1)).resynced == (A,)
    assert (redis.lo(), redis.content()) == (1, {2: [(1, 1)]})


def test_seal_open_takes_first_what_holds_the_oldest_events(redis: Redis) -> None:
    c = Key("vib", "c")
    redis.run(redis.buffer.restore([shell(c, 2)]))
    redis.append(-1, group(A, 3, 4), group(B, 5, 5))
    sealed = [redis.run(redis.buffer.seal_open(SealReason.DRAIN, 1)) for _ in range(4)]
    assert sealed == [(A,), (B,), (c,), ()]


def test_low_counts_the_names_of_open_buffers(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0), group(B, 1, 1, seal_after=SealReason.MAX_BYTES))
    redis.run(redis.buffer.restore([shell(C, 1)]))
    low = redis.run(redis.buffer.low())
    assert (low.open, low.sealed) == (2, 1)


def test_low_tells_the_lowest_number_that_is_only_here(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 4), group(B, 5, 5, body=b"123"))
    redis.run(redis.buffer.seal_open(SealReason.DRAIN, 1))  # A, the older one
    low = redis.run(redis.buffer.low())
    assert (low.w, low.lo, low.sealed, low.sealed_bytes, low.first_sealed_us) == (5, 0, 1, 4, 77)


def test_low_counts_the_bytes_of_all_pushes(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0, body=b"123"))
    redis.append(
        0, group(A, 1, 1, believed=1, body=b"45", size_bytes=5, seal_after=SealReason.MAX_BYTES)
    )
    assert redis.run(redis.buffer.low()).sealed_bytes == 5


def test_low_estimates_bytes_of_a_long_backlog(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        redis.append(n - 1, group(A, n, n, seal_after=SealReason.MAX_SAMPLES))
    monkeypatch.setattr(redis_buffer, "_PAGE", 2)
    low = redis.run(redis.buffer.low())
    assert (low.sealed, low.sealed_bytes) == (6, 24)


def test_peek_is_bounded_and_gives_at_least_one(redis: Redis) -> None:
    for n in range(4):
        redis.append(n - 1, group(A, n, n, seal_after=SealReason.MAX_SAMPLES))
    bounds = [(0, 9), (8, 9), (9, 9), (99, 3), (99, 9)]
    found = [len(redis.run(redis.buffer.peek(*bound))) for bound in bounds]
    assert found == [1, 2, 2, 3, 4]


def test_ack_drops_only_that_keys_buffer_that_ends_there(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 4, seal_after=SealReason.MAX_SAMPLES))
    refused = [(1, B, 4), (2, A, 4), (1, A, 3)]
    assert redis.run(redis.buffer.ack(refused, 8)) == 0
    assert redis.run(redis.buffer.ack([(1, A, 4)], 3)) == 1
    assert redis.run(redis.buffer.acknowledged()) == 8
    assert redis.keys() == ["k", "n", "w"]


def test_forget_drops_an_open_buffer_that_is_durable(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 4))
    redis.run(redis.buffer.forget(A, 3))
    assert len(redis.run(redis.buffer.opened())) == 1
    redis.run(redis.buffer.forget(A, 4))
    assert redis.keys() == ["w"]


def shell(key: Key, last: int, **fields: Any) -> Shell:
    values: dict[str, Any] = {"size_bytes": 9, "due_us": 5, "state": b"parked"} | fields
    return Shell(key, last, **values)


def test_parkable_gives_the_oldest_open_buffers_up_to_a_number_and_within_bounds(
    redis: Redis,
) -> None:
    c = Key("vib", "c")
    redis.append(-1, group(A, 0, 1), group(B, 2, 3), group(c, 4, 5))
    everything = [(A, [(0, 1)]), (B, [(2, 3)]), (c, [(4, 5)])]
    assert redis.park(5) == redis.park(4) == everything
    assert redis.park(3) == redis.park(5, max_buffers=2) == everything[:2]
    assert redis.park(5, max_bytes=1) == everything[:1]
    assert redis.park(-1) == []


def test_parkable_stops_at_a_sealed_buffer(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0), group(B, 1, 1, seal_after=SealReason.MAX_BYTES))
    redis.append(1, group(B, 2, 2))
    assert redis.park(9) == [(A, [(0, 0)])]
    redis.run(redis.buffer.ack([(1, B, 1)], 0))
    assert redis.park(9) == [(A, [(0, 0)]), (B, [(2, 2)])]


def test_release_lets_elements_leave_and_keeps_buffer_and_totals(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 3), group(B, 4, 4))
    redis.append(4, group(A, 5, 6, believed=1))
    (before, _) = sorted(redis.run(redis.buffer.opened()), key=lambda b: b.last, reverse=True)
    first = redis.run(redis.buffer.release([(A, 4), (Key("vib", "none"), 9)], 7))
    assert first == Released(1, ((A, 1),))
    assert redis.park(9) == [(B, [(4, 4)]), (A, [(5, 6)])]
    second = redis.run(redis.buffer.release([(A, 6), (B, 4)], 3))
    assert second == Released(2, ((A, 1), (B, 1)))
    assert redis.run(redis.buffer.release([(A, 6)], 3)) == Released(0, ((A, 1),))
    assert (redis.lo(), redis.park(9)) == (None, [])
    assert replace(before, items=1) in redis.run(redis.buffer.opened())
    assert redis.run(redis.buffer.acknowledged()) == 7
    after = SealReason.MAX_BYTES
    redis.append(6, group(A, 7, 7, believed=1, size_bytes=12, seal_after=after))
    (sealed,) = redis.run(redis.buffer.peek(EVERYTHING, 9))
    assert (sealed.reason, sealed.last, redis.lo()) == (after, 7, 7)
    assert redis.content() == {1: [(7, 7)]}


def test_an_element_that_reaches_over_the_mark_stays_and_lo_goes_above_the_mark(
    redis: Redis,
) -> None:
    redis.append(-1, group(A, 0, 3))
    redis.append(3, group(A, 5, 9, believed=1))
    assert redis.run(redis.buffer.release([(A, 6)], 0)).elements == 1
    assert (redis.lo(), redis.park(9)) == (7, [(A, [(5, 9)])])
    redis.run(redis.buffer.release([(A, 2)], 0))  # late, of an owner that knew less
    assert redis.lo() == 7


def test_restore_opens_a_buffer_without_content_unless_it_is_there(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 3))
    assert redis.run(redis.buffer.restore([shell(A, 9), shell(B, 2)])) == (B,)
    assert redis.run(redis.buffer.restore([shell(B, 7)])) == ()
    (found,) = (b for b in redis.run(redis.buffer.opened()) if b.key == B)
    assert (found.items, found.last, found.size_bytes, found.due_us) == (1, 2, 9, 5)
    assert (found.state, redis.lo()) == (b"parked", 0)
    redis.append(3, group(B, 4, 4, believed=1, size_bytes=9 + 4, due_us=5))
    assert redis.run(redis.buffer.seal_keys(SealReason.MAX_AGE, [B])) == (B,)
    (sealed,) = redis.run(redis.buffer.peek(EVERYTHING, 9))
    assert (sealed.last, len(sealed.elements)) == (4, 1)
    assert redis.run(redis.buffer.low()).sealed_bytes == 9 + 4


def test_a_restored_buffer_may_have_no_due_time(redis: Redis) -> None:
    redis.run(redis.buffer.restore([shell(B, 7, due_us=NEVER_US)]))
    (found,) = redis.run(redis.buffer.opened())
    assert found.due_us == NEVER_US


def test_opened_reads_any_number_page_by_page(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [Key("vib", f"s{n}") for n in range(700)]
    redis.append(-1, *(group(key, n, n) for n, key in enumerate(keys)))
    monkeypatch.setattr(redis_buffer, "_PAGE", 50)
    assert {found.key for found in redis.run(redis.buffer.opened())} == set(keys)


def test_wipe_drops_the_partition_with_its_strays_and_nothing_else(redis: Redis) -> None:
    other = prefix("store", "33") + "w"
    redis.append(-1, group(A, 0, 0), group(B, 1, 1, seal_after=SealReason.MAX_BYTES))
    redis.run(redis.client.rpush(f"{T}b:stray", "x"))
    redis.run(redis.client.rpush(f"{T}q:9:stray", "x"))
    redis.run(redis.client.set(other, 1))
    redis.run(redis.buffer.wipe())
    assert redis.run(redis.client.keys("*")) == [other.encode()]


def test_what_another_layout_left_is_wiped_at_the_first_attach_and_never_read(
    redis: Redis,
) -> None:
    before, other = (older_prefix("store", "ns_hub_1", partition) for partition in ("3", "33"))
    for t in (before, other):
        redis.run(redis.client.set(f"{t}w", 7))
        redis.run(redis.client.set(f"{t}k", 1))
        redis.run(redis.client.zadd(f"{t}due", {A.text(): 3}))
        redis.run(redis.client.zadd(f"{t}out", {f"1:{B.text()}": 1}))
        redis.run(redis.client.zadd(f"{t}lo", {f"b{A.text()}": 3, f"q1:{B.text()}": 5}))
        redis.run(redis.client.rpush(f"{t}b:{A.text()}", b"\2older"))
        redis.run(redis.client.rpush(f"{t}q:1:{B.text()}", b"\2older"))
    left = set(redis.run(redis.client.keys(f"{other}*".replace("[", "\\["))))
    buffer = RedisBuffer(redis.client, T, lambda: 77, older=before)
    assert redis.run(buffer.attach(4)) == 4
    assert redis.run(buffer.opened()) == []
    assert set(redis.run(redis.client.keys("*"))) == {*left, f"{T}w".encode()}


def test_strays_that_have_a_name_again_are_left_alone(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0), group(B, 1, 1, seal_after=SealReason.MAX_BYTES))
    names = [f"b:{A.text()}", f"q:1:{B.text()}", "w", "k"]
    assert redis.run(redis.buffer._run("drop_strays", *names)) == 0


def test_lost_scripts_are_loaded_again(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0))
    redis.run(redis.client.script_flush())
    assert redis.append(0, group(A, 1, 1, believed=1)).outcome is Appended.OK


def test_a_lost_redis_answers_gap_and_takes_the_checkpoint(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 9))
    redis.run(redis.client.flushall())
    lost = redis.append(9, group(A, 10, 10, believed=1))
    assert (lost.outcome, lost.w) == (Appended.GAP, -1)
    assert redis.run(redis.buffer.attach(4)) == 4


# --- scripts that die between two of their commands, and are repeated ---

DIES = """
local left = {left}
local call = function(...)
  left = left - 1
  if left < 0 then error(redis.error_reply('DIED on purpose')) end
  return redis.call(...)
end
local up, pk = struct.unpack, struct.pack
"""


async def torn_then_repeated(redis: Redis, name: str, left: int, call: Callable[[], Any]) -> bool:
    """Run one script so that it dies after `left` commands, then as it should; False if whole."""
    torn = await torn_once(redis, name, left, call)
    if torn:
        await call()
    return torn


async def torn_once(redis: Redis, name: str, left: int, call: Callable[[], Any]) -> bool:
    """Run one script so that it dies after `left` commands; False if it has no more of them."""
    whole = source(name)
    torn = whole.replace("local call, up, pk = redis.call, struct.unpack, struct.pack", "")
    flags, _, rest = torn.partition("\n")
    torn = f"{flags}\n{DIES.format(left=left)}{rest}"
    redis.buffer._scripts[name] = redis.client.register_script(torn)
    try:
        await call()
    except ResponseError as error:
        if "DIED" not in str(error):
            raise
        return True
    else:
        return False
    finally:
        del redis.buffer._scripts[name]


C, D = Key("vib", "c"), Key("vib", "d")
STEPS: dict[str, Callable[[RedisBuffer], Awaitable[Any]]] = {
    "append": lambda buffer: buffer.append(
        7,
        11,
        [
            group(A, 8, 8, believed=1, seal_after=SealReason.MAX_SAMPLES),
            group(B, 9, 9, believed=1),
            group(B, 10, 10, believed=2),
            group(Key("vib", "new"), 11, 11, believed=7),
        ],
    ),
    "seal_open": lambda buffer: buffer.seal_open(SealReason.DRAIN, 9),
    "seal_keys": lambda buffer: buffer.seal_keys(SealReason.PRESSURE, [A, B]),
    "peek": lambda buffer: buffer.peek(EVERYTHING, 9),
    "ack": lambda buffer: buffer.ack([(1, A, 1), (2, B, 3)], 4),
    "attach": lambda buffer: buffer.attach(6),
    "parkable": lambda buffer: buffer.parkable(9, EVERYTHING, 9),
    "restore": lambda buffer: buffer.restore([shell(A, 7), shell(C, 7), shell(D, 1)]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_script_that_died_anywhere_can_be_repeated(redis: Redis, name: str) -> None:
    deaths = 0
    while died(redis, name, deaths):
        deaths += 1
    assert deaths >= {"attach": 2, "peek": 5, "parkable": 1, "restore": 7}.get(name, 8)


def test_a_release_that_died_anywhere_can_be_repeated(redis: Redis) -> None:
    deaths = 0
    while release_died(redis, deaths):
        deaths += 1
    assert deaths >= 10


def release_died(redis: Redis, left: int) -> bool:
    """One buffer goes in part, one as a whole; `lo` never passes what is only here."""
    redis.run(redis.buffer.wipe())
    redis.append(-1, group(A, 0, 1), group(B, 2, 3))
    redis.append(3, group(A, 4, 7, believed=1))
    totals = sorted(redis.run(redis.buffer.opened()), key=lambda b: b.key)
    durable = [(A, 1), (B, 3), (C, 9)]
    torn = redis.run(
        torn_then_repeated(redis, "release", left, lambda: redis.buffer.release(durable, 4))
    )
    redis.buffer._scripts.clear()
    assert redis.lo() == 4
    assert redis.park(9) == [(A, [(4, 7)])]
    opened = sorted(redis.run(redis.buffer.opened()), key=lambda b: b.key)
    assert opened == [replace(told, items=1) for told in totals]
    assert redis.run(redis.buffer.acknowledged()) == 4
    return bool(torn)


def test_what_is_appended_behind_a_release_that_died_is_not_taken_for_durable(
    redis: Redis,
) -> None:
    """By another owner, which reads how many items there are, and does not repeat the call."""
    deaths = 0
    while appended_behind_release(redis, deaths):
        deaths += 1
    assert deaths >= 5


def appended_behind_release(redis: Redis, left: int) -> bool:
    redis.run(redis.buffer.wipe())
    redis.append(-1, group(A, 0, 1))
    redis.append(1, group(A, 2, 3, believed=1))
    torn = redis.run(torn_once(redis, "release", left, lambda: redis.buffer.release([(A, 3)], 4)))
    (told,) = redis.run(redis.buffer.opened())
    redis.append(3, group(A, 4, 5, believed=told.items))
    lowest = redis.lo()
    assert lowest is not None
    assert lowest <= 4, "else the checkpoint passes what is in Redis alone"
    return bool(torn)


def test_an_append_that_died_leaves_names_that_parkable_drops(redis: Redis) -> None:
    redis.run(redis.client.zadd(f"{T}open", {A.text(): 3}))
    assert redis.park(9) == []
    assert (redis.lo(), redis.keys()) == (None, [])


def died(redis: Redis, name: str, left: int) -> bool:
    """Two sealed and two open buffers; a torn step, repeated; everything is still there once."""
    redis.run(redis.buffer.wipe())
    after = SealReason.MAX_CHUNKS
    redis.append(-1, group(A, 0, 1, seal_after=after), group(B, 2, 3, seal_after=after))
    redis.append(3, group(A, 4, 7), last=7)
    redis.append(7, group(B, 6, 7), last=7)
    torn = redis.run(torn_then_repeated(redis, name, left, lambda: STEPS[name](redis.buffer)))
    redis.buffer._scripts.clear()
    before = redis.run(redis.buffer.low())
    assert before.w == (11 if name == "append" else 7)
    assert before.lo == (4 if name == "ack" else 0)
    redis.run(redis.buffer.seal_open(SealReason.DRAIN, 99))
    spans = [span for content in redis.content().values() for span in content]
    acked = [(0, 1), (2, 3)] if name == "ack" else []
    news = [(8, 8), (9, 9), (10, 10), (11, 11)] if name == "append" else []
    assert set(spans) | set(acked) == {(0, 1), (2, 3), (4, 7), (6, 7), *news}
    if name != "append":  # a torn append pushes twice; the commit takes each number once
        assert len(spans) == len(set(spans))
    low = redis.run(redis.buffer.low())
    everything = redis.run(redis.buffer.peek(EVERYTHING, 99))
    assert low.sealed == len(everything)
    assert redis.run(redis.buffer.ack([(b.k, b.key, b.last) for b in everything], 5)) == low.sealed
    assert redis.run(redis.buffer.low()).lo is None
    assert redis.keys() == ["k", "n", "w"]
    return bool(torn)


def test_a_list_that_no_script_left_so_is_reported_as_corrupt(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0))
    redis.run(redis.client.rpush(f"{T}b:{A.text()}", struct.pack("<7d", -1, 1, 0, 0, 4, 5, 0)))
    with pytest.raises(CorruptBuffer, match="another layout"):
        redis.run(redis.buffer.opened())
    redis.append(0, group(A, 1, 1, believed=2, seal_after=SealReason.MAX_BYTES))
    with pytest.raises(CorruptBuffer, match="another layout"):
        redis.content()


# --- servers that cannot answer ---


def test_a_full_server_refuses_an_append_whole_and_still_lets_go(redis: Redis) -> None:
    redis.append(-1, group(A, 0, 0), group(B, 1, 1))
    redis.run(redis.client.config_set("maxmemory", 1))
    with pytest.raises(BufferFull, match="append"):
        redis.append(1, group(A, 2, 2, believed=1))
    assert redis.run(redis.buffer.low()).w == 1
    assert redis.run(redis.buffer.seal_keys(SealReason.PRESSURE, [A])) == (A,)
    assert redis.run(redis.buffer.seal_open(SealReason.DRAIN, 9)) == (B,)
    sealed = redis.run(redis.buffer.peek(EVERYTHING, 9))
    assert redis.run(redis.buffer.ack([(b.k, b.key, b.last) for b in sealed], 0)) == 2


def test_a_server_that_is_gone_is_unavailable_and_named_by_the_call() -> None:
    server = Redis("unix:///nowhere/valkey.sock")
    with pytest.raises(BufferUnavailable, match="low"):
        server.run(server.buffer.low())
    server.run(server.client.aclose())
    server.runner.close()


def test_a_replica_is_unavailable_for_writes(redis: Redis) -> None:
    redis.run(redis.client.config_set("replica-read-only", "yes"))
    redis.run(redis.client.execute_command("REPLICAOF", "127.0.0.1", "1"))
    try:
        with pytest.raises(BufferUnavailable, match="append"):
            redis.append(-1, group(A, 0, 0))
    finally:
        redis.run(redis.client.execute_command("REPLICAOF", "NO", "ONE"))


def test_a_mistake_of_ours_is_not_taken_for_an_outage(redis: Redis) -> None:
    redis.run(redis.client.set(f"{T}open", "no sorted set"))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        redis.append(-1, group(A, 0, 0))
