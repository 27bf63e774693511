"""Dead letters that came back are counted once, where they went; what does not fit is told."""

from typing import Any

import pytest

from batching import names
from batching.model import Manifest, Position, Redrive, Redriven, Trimmed
from tests.batching.verify.made_store import HUB, NOW, MadeStore


@pytest.fixture
def made(tmp_path) -> MadeStore:
    """Five events, of which three were set aside."""
    store = MadeStore(tmp_path)
    store.commit(store.batch("a", 0, 1), store.dead(2, 3, 4))
    store.position(4)
    return store


def back(made: MadeStore, first: int, *numbers: int, partition: str = "0", **more: Any) -> None:
    letters = tuple(Redriven(partition, n, NOW, "", message_id=f"m{n}") for n in numbers)
    found = Redrive(**{"store": "id", "first": first, "letters": letters, **more}, **REST)
    made.write(names.redriven(HUB, first), found)


REST = {"hub": HUB, "written": NOW, "writer": "test"}


def landed(made: MadeStore, *numbers: int, dead: bool = False, checkpoint: bool = True) -> None:
    """Commit events of partition `redrive`."""
    entry = made.dead(*numbers) if dead else made.batch("a", *numbers)
    name = names.manifest(HUB, "redrive", 0)
    made.write(name, Manifest("id", HUB, "redrive", 0, NOW, "test", (entry,)))
    if checkpoint:
        made.write(names.position(HUB, "redrive"), Position(max(numbers), 0))


def test_without_any_that_came_back_nothing_is_said_of_it(made: MadeStore) -> None:
    report = made.report()
    assert (report.dead_letters, report.re_driven, report.events) == (3, 0, 5)
    assert "re-driven" not in report.closing_line()
    assert list(report.partitions) == ["0"]


def test_an_event_that_came_back_counts_once_where_it_went(made: MadeStore) -> None:
    back(made, 0, 2, 3)
    landed(made, 0, 1)
    report = made.report()
    assert not report.wrong, report.plain()
    assert (report.dead_letters, report.re_driven, report.plain()["re_driven"]) == (3, 2, 2)
    assert report.closing_line().startswith(
        "complete: 5 events = 4 in 2 batches + 1 dead letter (2 re-driven); 0 missing, 0 twice"
    )
    assert report.partitions["redrive"] == {"from": 0, "to": 1}


def test_what_came_back_and_is_in_no_batch_yet_is_pending(made: MadeStore) -> None:
    back(made, 0, 2, 3, 4)
    report = made.report()
    assert (report.open, report.exit_code(allow_pending=False), report.events) == (3, 3, 5)
    landed(made, 0, checkpoint=False)
    report = made.report()
    assert (report.open, report.events) == (2, 5)
    assert made.report(upto=4).exit_code(allow_pending=True) == 0  # the hub's numbers


def test_what_came_back_and_is_nowhere_is_missing(made: MadeStore) -> None:
    back(made, 0, 2, 3, 4)
    landed(made, 0, 2)
    assert made.report().missing.examples == ["partition redrive, numbers 1 to 1"]


def test_what_failed_again_is_another_letter_that_may_come_back_too(made: MadeStore) -> None:
    back(made, 0, 2, 3, 4)
    landed(made, 0, 1, 2, dead=True)
    report = made.report()
    assert not report.wrong, report.plain()
    assert "2 in 1 batch + 3 dead letters (3 re-driven)" in report.closing_line()
    back(made, 3, 0, partition="redrive")
    report = made.report()
    assert (report.dead_letters, report.re_driven, report.open) == (6, 4, 1)
    assert report.events == 5


def test_one_partition_alone_is_judged_by_its_own_numbers(made: MadeStore) -> None:
    back(made, 0, 2, 3)
    landed(made, 0, 1)
    hub, ours = made.report(partitions=["0"]), made.report(partitions=["redrive"])
    assert (hub.events, hub.batched, hub.dead_letters, hub.re_driven) == (5, 2, 3, 2)
    assert hub.closing_line().startswith("complete: 5 events = 2 in 1 batch + 3 dead letters (2 re")
    assert (ours.events, ours.batched, ours.re_driven) == (2, 2, 0)
    assert made.report(partitions=["redrive"], upto=3).missing.count == 2


def test_a_message_of_the_senders_is_found_where_its_letter_went(made: MadeStore) -> None:
    back(made, 0, 2, 3)
    name = names.manifest(HUB, "redrive", 0)
    entry = made.batch("a", 0)  # its message id is m0: number 2 is lost on the way
    made.write(name, Manifest("id", HUB, "redrive", 0, NOW, "test", (entry,)))
    made.write(names.position(HUB, "redrive"), Position(1, 0))
    line = '{"id": "%s", "sensor": "a", "samples": 2, "sum": 0}'
    report = made.against(line % "m2", line % "m4")
    assert "message m2: sent 1 times, found 0" in report.missing.examples
    assert report.sent_set_aside == 1  # m4 lies there


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda m: back(m, 2, 2), "does not follow: re-driven events end at 1"),
        (lambda m: back(m, 1, 1), "1 re-driven events were no dead letters there"),
        (lambda m: back(m, 1, 2, store="other"), "is not what its name says"),
        (lambda m: m.write(names.redriven(HUB, 1), b"{"), "no object of a Headrace store"),
    ],
)
def test_objects_that_do_not_fit_are_damage(made: MadeStore, damage, told: str) -> None:
    back(made, 0, 3)
    landed(made, 0)
    assert not made.report().wrong
    damage(made)
    assert any(told in each for each in made.report().damaged.examples)


def test_a_letter_that_came_back_twice_is_twice(made: MadeStore) -> None:
    back(made, 0, 2)
    back(made, 1, 2)
    landed(made, 0, 1)
    assert made.report().twice.examples == ["dead letter 0/2 was re-driven twice"]


def test_letters_that_retention_took_still_count_once(made: MadeStore) -> None:
    back(made, 0, 2, 3)
    landed(made, 0, 1)
    before = made.report().closing_line()
    made.write(names.trimmed(HUB, "0"), Trimmed(dead_below=1))
    made.remove(made.manifests[0][1].data)
    report = made.report()
    assert not report.wrong, report.plain()
    assert report.closing_line() == before


def test_a_partition_redrive_that_was_trimmed_follows_only_what_is_left(made: MadeStore) -> None:
    back(made, 0, 2, 3)
    landed(made, 0, 1)
    made.write(names.trimmed(HUB, "redrive"), Trimmed(upto=0))
    report = made.report()
    assert (report.re_driven, report.followed, report.events) == (2, 1, 5)
