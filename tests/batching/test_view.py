import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import NewerFormat
from batching.model import Element, Entry
from batching.names import Key
from batching.states import by_key
from batching.view import View

KEYS = "abc"


def entry(sensor: str, first: int, last: int, kind: str = "batch") -> Entry:
    return Entry(kind, "s", sensor, first, last, last - first + 1)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[Entry, ...]]:
    """Manifests as commits leave them: entries of a key follow on, with anything in between."""
    at = dict.fromkeys(KEYS, 0)
    manifests = []
    for _ in range(draw(st.integers(0, 7))):
        entries = []
        for sensor in draw(st.lists(st.sampled_from(KEYS), max_size=3)):
            first = at[sensor] + draw(st.integers(0, 6))
            last = first + draw(st.integers(0, 10))
            at[sensor] = last + 1
            entries.append(entry(sensor, first, last, draw(st.sampled_from(["batch", "dead"]))))
        manifests.append(tuple(entries))
    return manifests


def mark_of(manifests: list[tuple[Entry, ...]], sensor: str, checkpoint: int) -> int:
    lasts = [e.last for entries in manifests for e in entries if e.sensor == sensor]
    return max([checkpoint, *lasts])


@given(logs(), st.integers(-1, 40))
def test_a_newcomer_who_reads_from_first_needed_knows_the_same_marks(
    manifests: list[tuple[Entry, ...]], checkpoint: int
) -> None:
    view = View(-1, 0)
    for entries in manifests:
        view.apply(entries)
    first = view.first_needed(checkpoint)
    newcomer = View(checkpoint, first)
    for entries in manifests[first:]:
        newcomer.apply(entries)
    assert newcomer.next == view.next
    for sensor in KEYS:
        assert newcomer.mark(Key("s", sensor)) == mark_of(manifests, sensor, checkpoint)


@given(logs(), st.integers(-1, 40), st.integers(-1, 40), st.lists(st.sampled_from(KEYS)))
def test_what_is_fresh_lies_above_its_keys_mark_and_what_was_acknowledged(
    manifests: list[tuple[Entry, ...]], checkpoint: int, acked: int, senders: list[str]
) -> None:
    view = View(-1, 0)
    for entries in manifests:
        view.apply(entries)
    view.move(checkpoint, view.first_needed(checkpoint))
    brought = [Element(Key("s", sensor), n, 5, 1, b"x") for n, sensor in enumerate(senders)]
    above = {key: max(acked, view.mark(key)) for key in by_key(brought)}
    left = [each for each in brought if each.sequence_number > above[each.key]]
    assert view.fresh(by_key(brought), acked) == by_key(left)


@given(logs(), st.integers(-1, 40))
def test_first_needed_skips_every_manifest_that_can_be_skipped(
    manifests: list[tuple[Entry, ...]], checkpoint: int
) -> None:
    view = View(-1, 0)
    for entries in manifests:
        view.apply(entries)
    above = [n for n, entries in enumerate(manifests) if any(e.last > checkpoint for e in entries)]
    assert view.first_needed(checkpoint) == min(above, default=len(manifests))


@given(logs(), st.lists(st.integers(-1, 40), max_size=8))
def test_an_owner_that_moves_on_keeps_all_marks_that_count(
    manifests: list[tuple[Entry, ...]], checkpoints: list[int]
) -> None:
    view, checkpoint = View(-1, 0), -1
    for n, entries in enumerate(manifests):
        view.apply(entries)
        if n < len(checkpoints) and checkpoints[n] > checkpoint:
            checkpoint = checkpoints[n]
            first = view.first_needed(checkpoint)
            assert first >= view.first  # positions only rise
            view.move(checkpoint, first)
        for sensor in KEYS:
            assert view.mark(Key("s", sensor)) == mark_of(manifests[: n + 1], sensor, checkpoint)
        above = [
            m for m, each in enumerate(manifests[: n + 1]) if any(e.last > checkpoint for e in each)
        ]
        assert view.first_needed(checkpoint) == max(view.first, min(above, default=n + 1))


def test_ignored_events_are_covered_too() -> None:
    view = View(-1, 0)
    view.apply((entry("_", 3, 9, "ignored"),))
    assert view.mark(Key("s", "_")) == 9
    assert view.mark(Key("s", "other")) == -1


def test_a_manifest_with_an_unknown_kind_is_not_half_taken_in() -> None:
    view = View(-1, 0)
    with pytest.raises(NewerFormat, match="rules"):
        view.apply((entry("a", 0, 1), entry("b", 2, 3, "rules")))
    assert view.next == 0
