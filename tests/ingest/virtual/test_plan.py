import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from batching.errors import SettingError
from ingest.virtual.plan import GARBAGE, Habits, Message, Plan
from ingest.virtual.recording import Signal, signals

START_MS = 1_700_000_000_000.0
STEADY: dict[str, Any] = {
    "late": 0.0,
    "repeated": 0.0,
    "garbage": 0.0,
    "burst": 0.0,
    "silence": 0.0,
}


def sent(count: int, *, seed: int = 1, sensors: int = 5, **habits: Any) -> list[Message]:
    """The first messages of a plan, without those that it still holds back."""
    plan = Plan(signals("sine", sensors, seed=0), Habits(**habits), seed, START_MS)
    return list(itertools.islice(plan.messages(), count))


def sizes(messages: list[Message]) -> list[int]:
    return [message.samples for message in messages if message.total is not None]


def test_a_seed_repeats_a_plan_and_another_one_does_not() -> None:
    assert sent(500) == sent(500)
    assert sent(500) != sent(500, seed=2)


def test_two_sendings_have_no_message_id_in_common() -> None:
    first, later = (
        Plan(signals("sine", 2, seed=0), Habits(), 1, START_MS + shift) for shift in (0, 1_000)
    )
    ids = [{m.id for m in itertools.islice(p.messages(), 200)} for p in (first, later)]
    assert not ids[0] & ids[1]


def test_a_body_holds_what_the_message_says() -> None:
    for message in sent(100, **STEADY):
        body = json.loads(message.body)
        assert set(body) == {"t", "x"}
        assert len(body["t"]) == len(body["x"]) == message.samples
        assert sum(body["x"]) == pytest.approx(message.total)


def test_a_sensors_samples_follow_on_and_begin_again_at_their_end() -> None:
    signal = Signal("a", ("x",), 50.0, np.arange(30.0)[:, None])
    plan = Plan([signal], Habits(chunk=(7, 0.5), **STEADY), 1, START_MS)
    bodies = [json.loads(m.body) for m in itertools.islice(plan.messages(), 60)]
    values = [value for body in bodies for value in body["x"]]
    assert values == [float(i % 30) for i in range(len(values))]
    times = [t for body in bodies for t in body["t"]]
    assert times == sorted(times)
    assert times[0] >= START_MS - 10


@pytest.mark.parametrize("habit", ["late", "repeated", "garbage"])
def test_shares_are_about_what_was_asked_for(habit: str) -> None:
    messages = sent(4_000, **{**STEADY, habit: 0.1})
    counts = Counter(message.id for message in messages)
    found = {
        "garbage": sum(message.total is None for message in messages),
        "repeated": sum(count > 1 for count in counts.values()),
        "late": disordered(messages),
    }
    assert found.pop(habit) == pytest.approx(400, rel=0.25)
    assert not any(found.values())


def disordered(messages: list[Message]) -> int:
    """Count messages that come for the first time after a younger one of their sensor."""
    newest: Counter[str] = Counter()
    late = 0
    for message in {message.id: message for message in messages}.values():
        if message.total is not None:
            number = int(message.id.rpartition("-")[2])
            late += number < newest[message.sensor]
            newest[message.sensor] = max(newest[message.sensor], number)
    return late


def test_a_repeated_message_is_the_same_in_every_byte() -> None:
    by_id: dict[str, set[Message]] = {}
    for message in sent(2_000, repeated=0.2):
        by_id.setdefault(message.id, set()).add(message)
    assert all(len(same) == 1 for same in by_id.values())


def test_garbage_is_what_nobody_can_decode() -> None:
    messages = [m for m in sent(500, **{**STEADY, "garbage": 0.5}) if m.total is None]
    assert {m.body for m in messages} == set(GARBAGE)
    assert {m.samples for m in messages} == {0}
    assert len({m.id for m in messages}) == len(messages)


def test_bursts_are_of_one_sensor_and_silence_rests_it() -> None:
    def runs(**habits: Any) -> list[int]:
        return [len(list(same)) for _, same in itertools.groupby(sent(3_000, **habits), key=sensor)]

    def sensor(message: Message) -> str:
        return message.sensor

    assert max(runs(**{**STEADY, "burst": 0.1})) > 2 * max(runs(**STEADY))
    gaps = [longest_gap(sent(3_000, **{**STEADY, "silence": share})) for share in (0.02, 0.0)]
    assert gaps[0] > 2 * gaps[1]


def longest_gap(messages: list[Message]) -> int:
    last: dict[str, int] = {}
    longest = 0
    for place, message in enumerate(messages):
        longest = max(longest, place - last.get(message.sensor, place))
        last[message.sensor] = place
    return longest


def test_chunk_sizes_have_the_median_asked_for_and_stay_in_bounds() -> None:
    found = sizes(sent(2_000, **STEADY))
    assert np.median(found) == pytest.approx(120, rel=0.1)
    wild = Plan(
        signals("sine", 3, seed=0), Habits(chunk=(100, 3), largest=400), 1, START_MS
    ).messages()
    bounded = sizes(list(itertools.islice(wild, 1_000)))
    assert (min(bounded), max(bounded)) == (1, 400)
    even = Plan(signals("sine", 1, seed=0), Habits(chunk=(9, 0)), 1, START_MS).messages()
    assert set(sizes(list(itertools.islice(even, 50)))) <= {8, 9}


def test_what_was_held_back_is_given_at_the_end_and_once() -> None:
    plan = Plan(signals("sine", 3, seed=0), Habits(late=0.5, garbage=0.0), 1, START_MS)
    messages = list(itertools.islice(plan.messages(), 300))
    messages += plan.left()
    assert plan.left() == []
    numbers: dict[str, set[int]] = {}
    for message in messages:
        numbers.setdefault(message.sensor, set()).add(int(message.id.rpartition("-")[2]))
    for found in numbers.values():
        assert found == set(range(1, max(found) + 1))


def test_samples_that_are_missing_add_nothing_to_the_sum() -> None:
    signal = Signal("a", ("x",), 50.0, np.array([[1.0], [np.nan], [2.0]]))
    (message,) = itertools.islice(
        Plan([signal], Habits(chunk=(3, 0), **STEADY), 1, START_MS).messages(),
        1,
    )
    assert json.loads(message.body)["x"][1] is None
    assert message.total == np.nansum(signal.values[: message.samples])


@pytest.mark.parametrize("name", ["late", "repeated", "garbage", "burst", "silence"])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused_by_its_option(name: str, share: float) -> None:
    with pytest.raises(SettingError, match=f"--{name}: expected a share from 0 to 1"):
        Habits(**{name: share})


@pytest.mark.parametrize(
    "chunk", [(0.5, 1), (10, -1), (float("nan"), 1), (10, float("nan")), (float("inf"), 1)]
)
def test_chunk_sizes_that_make_no_sense_are_refused(chunk: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="--chunk"):
        Habits(chunk=chunk)
