import itertools
import struct
from collections import defaultdict
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from batching.model import Element, SealReason
from batching.names import Key
from batching.policy import NEVER_NS, BatchState, SealPolicy, decide
from batching.ports import Group, OpenBuffer
from batching.states import NEVER_US, States, by_key, due_ns, due_us

SECOND = 10**9
KEYS = [Key("s", "a"), Key("s", "b"), Key("t", "a")]
policies = st.fixed_dictionaries(
    {
        stream: st.builds(
            SealPolicy,
            max_samples=st.none() | st.integers(1, 30),
            max_bytes=st.integers(1, 60),
            max_chunks=st.none() | st.integers(1, 5),
            max_age_ns=st.none() | st.integers(1, 4).map(lambda s: s * SECOND),
        )
        for stream in "st"
    }
)


@st.composite
def elements(draw: st.DrawFn) -> list[Element]:
    """What events bring: each feeds one sensor or several, none of them twice."""
    now, made = 1_700_000_000 * SECOND, []
    for number in range(draw(st.integers(0, 14))):
        now += draw(st.integers(0, 2)) * SECOND
        for key in draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True)):
            body = f"<{number}>".encode() + b"." * draw(st.integers(0, 12))
            made.append(Element(key, number, now, draw(st.integers(0, 12)), body))
    return made


def naive(made: list[Element], policy: dict[str, SealPolicy]) -> dict[Key, list[bytes]]:
    """Give what each sensor's batches hold, in order; the last one may be open."""
    found: dict[Key, list[bytes]] = {}
    for key in KEYS:
        parts, state = [b""], None
        for element in made:
            if element.key != key:
                continue
            arrival = (element.samples, len(element.body), element.enqueued_ns)
            before, state, after = decide(state, policy[key.stream], *arrival)
            if before is not None:
                parts.append(b"")
            parts[-1] += element.body
            if after is not None:
                parts.append(b"")
                state = None
        found[key] = [part for part in parts if part]
    return found


def bodies(groups: Iterable[Group]) -> list[bytes]:
    return [body for group in groups for body in group.bodies]


class Shelf:
    """What the script of an append does to buffers, and the test of each belief."""

    def __init__(self) -> None:
        self.open: dict[Key, list[Group]] = {}
        self.sealed: dict[Key, list[bytes]] = defaultdict(list)
        self.reasons: list[SealReason] = []

    def take(self, groups: tuple[Group, ...]) -> None:
        for group in groups:
            if group.seal_before is not None:
                self._seal(group.key, group.seal_before)
            held = self.open.setdefault(group.key, [])
            assert group.believed == len(held)
            held.append(group)
            assert group.size_bytes == sum(map(len, bodies(held)))
            if group.seal_after is not None:
                self._seal(group.key, group.seal_after)

    def _seal(self, key: Key, reason: SealReason) -> None:
        self.sealed[key].append(b"".join(bodies(self.open.pop(key))))
        self.reasons.append(reason)

    def batches(self) -> dict[Key, list[bytes]]:
        rest = {key: b"".join(bodies(held)) for key, held in self.open.items()}
        return {key: [*self.sealed[key], *([rest[key]] if key in rest else [])] for key in KEYS}


def cut(made: list[Element], at: list[int]) -> list[list[Element]]:
    edges = sorted({0, len(made), *(place % (len(made) + 1) for place in at)})
    return [made[a:b] for a, b in itertools.pairwise(edges)]


def whole_events(parts: list[list[Element]]) -> list[list[Element]]:
    """Move elements so that no event is divided between two appends."""
    moved: list[list[Element]] = []
    for part in parts:
        rest = list(part)
        while moved and rest and moved[-1][-1].sequence_number == rest[0].sequence_number:
            moved[-1].append(rest.pop(0))
        if rest:
            moved.append(rest)
    return moved


@settings(max_examples=60)
@given(elements(), policies, st.lists(st.integers(0, 100), max_size=6))
def test_however_events_are_divided_into_appends_the_batches_are_the_same(
    made: list[Element], policy: dict[str, SealPolicy], at: list[int]
) -> None:
    states, shelf = States(policy.__getitem__), Shelf()
    for part in whole_events(cut(made, at)):
        planned = states.plan(by_key(part))
        assert states.plan(by_key(part)) == planned  # it changes nothing
        shelf.take(planned.groups)
        states.keep(planned, [])
    assert shelf.batches() == naive(made, policy)
    assert len(states) == len(shelf.open)
    assert states.open_bytes() == sum(held[-1].size_bytes for held in shelf.open.values())
    due = [group[-1].due_us for group in shelf.open.values() if group[-1].due_us != NEVER_US]
    soonest = states.next_due_ns()
    assert (soonest and due_us(soonest)) == min(due, default=None)


@settings(max_examples=60)
@given(elements(), policies)
def test_a_plan_counts_its_seals_events_and_overdue_batches(
    made: list[Element], policy: dict[str, SealPolicy]
) -> None:
    states, shelf = States(policy.__getitem__), Shelf()
    planned = states.plan(by_key(made))
    shelf.take(planned.groups)
    assert planned.sealed == len(shelf.reasons)
    assert len(planned.late) == shelf.reasons.count(SealReason.MAX_AGE)
    assert len(bodies(planned.groups)) == len(made)
    assert planned.brought == sum(len(e.body) for e in made)
    for group in planned.groups:
        numbers = [e.sequence_number for e in made if e.key == group.key and e.body in group.bodies]
        assert (group.first, group.last) == (numbers[0], numbers[-1])


@settings(max_examples=60)
@given(elements(), policies, st.lists(st.integers(0, 100), max_size=3), st.data())
def test_an_owner_that_reads_the_states_from_redis_goes_on_as_the_one_before(
    made: list[Element], policy: dict[str, SealPolicy], at: list[int], data: st.DataObject
) -> None:
    states, shelf = States(policy.__getitem__), Shelf()
    for part in whole_events(cut(made, at)):
        if data.draw(st.booleans()):
            states = States(policy.__getitem__)
            states.reset(
                OpenBuffer(
                    key=key,
                    items=len(held),
                    last=held[-1].last,
                    size_bytes=held[-1].size_bytes,
                    due_us=held[-1].due_us,
                    state=held[-1].state,
                )
                for key, held in shelf.open.items()
            )
        planned = states.plan(by_key(part))
        shelf.take(planned.groups)
        states.keep(planned, [])
    assert shelf.batches() == naive(made, policy)
    assert states.open_bytes() == sum(held[-1].size_bytes for held in shelf.open.values())


def test_a_buffer_that_redis_had_to_seal_is_forgotten() -> None:
    states = States(lambda _: SealPolicy())
    planned = states.plan(
        by_key([Element(KEYS[0], 0, 5, 1, b"x"), Element(KEYS[1], 1, 5, 1, b"y")])
    )
    states.keep(planned, [KEYS[0]])
    assert (len(states), states.open_bytes()) == (1, len(b"y"))
    (group,) = states.plan({KEYS[0]: [Element(KEYS[0], 2, 6, 1, b"z")]}).groups
    assert group.believed == 0


def test_what_is_due_is_given_once_in_order_and_not_what_was_sealed() -> None:
    states = States(lambda _: SealPolicy(max_age_ns=SECOND))
    made = [Element(key, n, n * SECOND, 1, b"x") for n, key in enumerate(KEYS)]
    states.keep(states.plan(by_key(made)), [])
    assert states.next_due_ns() == SECOND
    states.drop([KEYS[0]])
    assert states.next_due_ns() == 2 * SECOND
    assert states.take_due(SECOND, 9) == []
    assert states.take_due(9 * SECOND, 1) == [(KEYS[1], 2 * SECOND)]
    assert states.take_due(9 * SECOND, 9) == [(KEYS[2], 3 * SECOND)]
    assert states.next_due_ns() is None


def test_a_batch_that_another_owner_goes_on_with_is_due_when_it_was() -> None:
    states = States(lambda _: SealPolicy(max_age_ns=SECOND))
    told = BatchState(3, 5, 2, 7 * SECOND, 8 * SECOND)
    states.reset([OpenBuffer(KEYS[0], 1, 9, 5, due_us(told.due_ns), told.pack())])
    assert list(states.batches()) == [(KEYS[0], told)]
    assert states.take_due(8 * SECOND, 9) == [(KEYS[0], 8 * SECOND)]


def test_a_state_that_version_1_parked_is_read() -> None:
    older = struct.pack("<Bqqqqq", 1, 3, 5, 2, 7 * SECOND, 8 * SECOND)
    expected = BatchState(3, 5, 2, 7 * SECOND, 8 * SECOND)
    assert BatchState.unpack(older, 5, 8 * SECOND) == expected


def test_a_due_time_in_microseconds_is_never_early() -> None:
    assert due_us(1_000) == 1
    assert due_us(1_001) == 2
    assert due_us(NEVER_NS) == NEVER_US
    assert float(NEVER_US) == NEVER_US
    assert (due_ns(1), due_ns(NEVER_US), due_ns(2 * NEVER_US)) == (1_000, NEVER_NS, NEVER_NS)


def test_an_event_with_two_parts_of_one_sensor_is_one_event() -> None:
    states = States(lambda _: SealPolicy())
    (group,) = states.plan(
        {KEYS[0]: [Element(KEYS[0], 7, 5, 1, b"x"), Element(KEYS[0], 7, 5, 1, b"y")]}
    ).groups
    assert (group.first, group.last, group.bodies) == (7, 7, [b"x", b"y"])
    assert BatchState.unpack(group.state, group.size_bytes, NEVER_NS).chunks == 2
