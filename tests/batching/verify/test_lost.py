"""Lost is what the hub no longer had: reported, no fault, and never more than is really gone."""

from pathlib import Path

import pytest

from tests.batching.verify.made_store import MadeStore


@pytest.fixture
def store(tmp_path: Path) -> MadeStore:
    """Numbers 0 to 4 in a batch, 5 to 14 lost, 15 to 19 in a batch."""
    made = MadeStore(tmp_path / "blobs")
    made.commit(made.batch("a", 0, 1, 2, 3, 4))
    made.commit(made.lost(5, 14))
    made.commit(made.batch("a", 15, 16, 17, 18, 19))
    made.position(19)
    made.run(0, 0, 3)
    made.result(0)
    return made


def test_lost_numbers_are_counted_and_no_fault(store: MadeStore) -> None:
    report = store.report()
    assert report.exit_code(allow_pending=False) == 0
    assert report.lost.examples == ["partition 0, numbers 5 to 14"]
    assert report.closing_line() == (
        "complete: 20 events = 10 in 2 batches + 10 lost; 0 missing, 0 twice; 1 run succeeded"
    )
    assert report.plain()["lost"]["count"] == 10


def test_what_no_entry_calls_lost_is_missing(store: MadeStore) -> None:
    store.commit(store.batch("a", 22))
    store.position(22)
    report = store.report()
    assert (report.lost.count, report.missing.examples) == (10, ["partition 0, numbers 20 to 21"])
    assert report.exit_code(allow_pending=True) == 1


def test_a_number_that_is_in_a_batch_all_the_same_is_not_lost(store: MadeStore) -> None:
    store.commit(store.batch("b", 6, 7), store.dead(9))
    report = store.report()
    assert not report.wrong
    assert (report.lost.count, report.batched, report.dead_letters) == (7, 12, 1)


def test_entries_that_overlap_count_each_number_once(store: MadeStore) -> None:
    store.commit(store.lost(3, 9), store.lost(14, 14))
    assert store.report().lost.count == 10


def test_numbers_above_the_checkpoint_are_lost_too_and_not_open(store: MadeStore) -> None:
    store.commit(store.lost(30, 39))
    report = store.report(last_enqueued={"0": 44})
    assert (report.lost.count, report.open) == (20, 15)  # 20 to 29 and 40 to 44
    assert report.events == 45
    assert store.report(upto=12).lost.count == 8


def test_a_message_that_is_not_found_may_be_among_the_lost(store: MadeStore) -> None:
    sent = [f'{{"id": "m{n}", "samples": 2, "sum": {2.0 * n}}}' for n in range(20)]
    report = store.against(*sent)
    assert (report.wrong, report.sent_lost) == (False, 10)
    report = store.against(*sent, '{"id": "more", "samples": 2, "sum": 1.0}')
    assert report.missing.count == 11  # more than are lost: nobody can say which
