"""Each kind of planted damage is found, and told as what it is."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.adapters.folder import FolderStore
from batching.errors import NewerFormat, SettingError
from batching.model import Manifest, Position, RunBatch, RunRecord, Trimmed
from batching.verify import Report, Senders, verify
from tests.batching.verify.made_store import HUB, JOB, MadeStore


@pytest.fixture
def store(tmp_path: Path) -> MadeStore:
    """Numbers 0 to 9 in three manifests, run by two runs: nothing is wrong with it."""
    made = MadeStore(tmp_path / "blobs")
    made.commit(made.batch("a", 0, 2, 3), made.batch("b", 1, 4))
    made.commit(made.batch("a", 5), made.dead(6))
    made.commit(made.batch("b", 7, 8, 9))
    made.position(9)
    made.run(0, 0, 2)
    made.run(1, 2, 3)
    made.result(0)
    made.result(1)
    return made


def codes(report: Report) -> tuple[int, int]:
    """Exit codes, without and with pending things allowed."""
    return report.exit_code(allow_pending=False), report.exit_code(allow_pending=True)


def test_a_store_without_a_fault_is_complete(store: MadeStore) -> None:
    report = store.report()
    assert codes(report) == (0, 0)
    assert report.closing_line() == (
        "complete: 10 events = 9 in 4 batches + 1 dead letter; 0 missing, 0 twice; 2 runs succeeded"
    )
    assert report.samples == 18
    assert report.sensors["a"].reasons == {"drain": 2}
    assert json.loads(json.dumps(report.plain()))["partitions"] == {"0": {"from": 0, "to": 9}}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_manifest_that_is_gone_leaves_its_numbers_missing(store: MadeStore, n: int) -> None:
    store.remove(names.manifest(HUB, "0", n))
    report = store.report()
    assert codes(report) == (1, 1)
    assert report.missing.count >= sum(entry.events for entry in store.manifests[n])
    assert report.closing_line().startswith("wrong: ")
    if n == 0:
        assert "partition 0, numbers 0 to 4" in report.missing.examples


class Trimming(FolderStore):
    """A store whose janitor trims the first manifest while somebody reads its bundle."""

    made: MadeStore

    async def get(self, name: str) -> bytes | None:
        if "/data/s/" in name and self.made.path(names.manifest(HUB, "0", 0)).exists():
            self.made.write(names.trimmed(HUB, "0"), Trimmed(below=1, upto=4))
            for entry in self.made.manifests[0]:
                self.made.remove(entry.data or "")
            self.made.remove(names.manifest(HUB, "0", 0))
        return await super().get(name)


def test_what_is_trimmed_while_it_is_read_is_not_missing(store: MadeStore) -> None:
    reader = Trimming(store.folder, read_only=True)
    reader.made = store
    lines = [f'{{"id": "m{n}", "samples": 2, "sum": {2 * n}}}' for n in (5, 7, 8, 9)]

    async def run() -> Report:
        try:
            return await verify(reader, senders=Senders(lines, "senders"))
        finally:
            await reader.close()

    report = asyncio.run(run())
    assert not report.wrong, report.plain()
    assert report.partitions == {"0": {"from": 5, "to": 9}}


def test_a_hole_in_the_log_hides_no_batch_behind_it(store: MadeStore) -> None:
    store.remove(names.manifest(HUB, "0", 1))
    report = store.report()
    assert report.missing.count == 2  # what lies behind it is still there
    assert any("manifest 1" in example for example in report.damaged.examples)


def test_a_data_object_that_is_gone_is_named_and_its_numbers_are_missing(store: MadeStore) -> None:
    name = store.manifests[2][0].data
    assert name is not None
    store.remove(name)
    report = store.report()
    assert codes(report) == (1, 1)
    assert report.damaged.examples == [f"{name} is gone"]
    assert report.missing.examples == ["partition 0, numbers 7 to 9"]
    assert "3 missing, 0 twice, 1 damaged" in report.closing_line()


@pytest.mark.parametrize("left", [0, 7, 600])
def test_a_data_object_that_was_cut_is_damage(store: MadeStore, left: int) -> None:
    name = store.manifests[2][0].data
    assert name is not None
    store.write(name, store.path(name).read_bytes()[:left])
    report = store.report()
    assert codes(report) == (1, 1)
    assert name in report.damaged.examples[0]


def test_a_batch_that_was_committed_again_is_twice(store: MadeStore) -> None:
    store.commit(store.batch("a", 2, 3, 5))
    store.position(9)
    report = store.report()
    assert codes(report) == (1, 1)
    assert report.twice.count == 3
    assert report.twice.examples == ["partition 0, number 2, sensor a"]


def test_a_number_within_a_batch_twice_is_twice(store: MadeStore) -> None:
    store.commit(store.batch("c", 10, 11, 11, 12))
    store.position(12)
    assert store.report().twice.count == 1


@pytest.mark.parametrize(
    "change", [{"first": 6}, {"last": 8}, {"events": 2}, {"rows": (0, 4)}, {"rows": (0, 60)}]
)
def test_a_manifest_that_says_something_else_than_its_bundle_is_damage(
    store: MadeStore, change: dict[str, Any]
) -> None:
    (entry,) = store.manifests.pop()
    store.commit(dataclasses.replace(entry, **change))
    report = store.report()
    assert report.damaged.count >= 1
    assert codes(report) == (1, 1)


def test_numbers_above_the_checkpoint_are_not_judged_unless_asked_for(store: MadeStore) -> None:
    store.commit(store.batch("a", 12, 13))  # 10 and 11 are open in Redis
    store.run(2, 3, 4)
    store.result(2)
    report = store.report()
    assert codes(report) == (0, 0)
    assert (report.events, report.batched) == (12, 11)
    asked = store.report(upto=13)
    assert asked.missing.examples == ["partition 0, numbers 10 to 11"]
    assert asked.partitions == {"0": {"from": 0, "to": 13}}
    assert store.report(upto=5).events == 12


def test_a_store_that_began_late_in_the_hub_judges_from_there(tmp_path: Path) -> None:
    made = MadeStore(tmp_path, start=500)
    made.commit(made.batch("a", 500, 502))
    made.position(502)
    report = made.report()
    assert report.missing.examples == ["partition 0, numbers 501 to 501"]
    assert report.events == 3


def test_ignored_events_fill_their_interval_and_no_other(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    made.commit(made.batch("a", 0, 3), made.ignored(1, 2, 2))
    made.commit(made.ignored(5, 9, 3), made.batch("a", 6, 8))
    made.position(9)
    report = made.report()
    assert report.missing.examples == ["partition 0, 1 of the numbers 4 to 5"]
    assert (report.ignored, report.missing.count) == (5, 1)


def test_an_interval_that_counts_too_few_ignored_events_leaves_some_missing(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    made.commit(made.ignored(0, 9, 7), made.batch("a", 4))
    made.position(9)
    assert made.report().missing.count == 2


def test_one_event_may_feed_several_sensors(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    made.commit(made.batch("pack/a", 0, 1), made.batch("pack/b", 0, 1))
    made.position(1)
    report = made.report()
    assert codes(report) == (0, 0)
    assert (report.events, report.batched, report.batches) == (2, 2, 2)


def test_a_record_that_leaves_out_a_batch_has_it_missing(store: MadeStore) -> None:
    store.run(0, 0, 2, leave_out=1)
    report = store.report()
    assert codes(report) == (1, 1)
    assert report.missing.count == 1
    (example,) = report.missing.examples
    assert example == (
        "run s/0 leaves out a batch of sensor a in stream s, from number 5 on"
        " (partition 0, manifest 1)"
    )


def test_a_record_that_holds_a_batch_twice_is_twice(store: MadeStore) -> None:
    store.run(0, 0, 2, again=1)
    report = store.report()
    assert (report.twice.count, report.twice.examples) == (1, ["run s/0 holds a batch twice"])


@pytest.mark.parametrize("start", [1, 3])
def test_records_that_overlap_or_leave_a_gap_are_damage(store: MadeStore, start: int) -> None:
    store.run(1, start, 3)
    report = store.report()
    assert codes(report) == (1, 1)
    assert "run s/1 does not begin where the one before it ends" in report.damaged.examples


def test_a_record_over_manifests_that_are_gone_is_damage(store: MadeStore) -> None:
    store.remove(names.manifest(HUB, "0", 2))
    report = store.report()
    assert any("the log does not" in example for example in report.damaged.examples)


def test_what_is_in_no_run_yet_is_pending(store: MadeStore) -> None:
    store.commit(store.batch("a", 10), store.batch("b", 11))
    store.position(11)
    report = store.report()
    assert codes(report) == (3, 0)
    assert report.pending_batches == 2
    assert report.closing_line().startswith("pending: ")
    assert "2 batches wait" in report.closing_line()


def test_a_run_without_result_is_pending(store: MadeStore) -> None:
    store.remove(names.result(JOB, 1))
    report = store.report()
    assert codes(report) == (3, 0)
    assert report.runs == {"succeeded": 1, "failed": 0, "running": 1}


def test_a_run_that_failed_for_good_is_told_with_its_cause(store: MadeStore) -> None:
    store.remove(names.result(JOB, 1))
    store.failed(1, "exit code 1")
    report = store.report()
    assert codes(report) == (3, 0)
    assert report.failed_runs == ["run s/1: exit code 1"]
    assert "1 failed" in report.closing_line()


def test_a_late_result_wins_over_the_failure(store: MadeStore) -> None:
    store.failed(1, "exit code 1")
    assert codes(store.report()) == (0, 0)


def test_only_the_partitions_asked_for_are_judged(store: MadeStore) -> None:
    (entry,) = store.manifests[2]
    assert entry.data is not None
    store.remove(entry.data)
    with pytest.raises(SettingError, match=r"partition 7 is not .* known are 0"):
        store.report(partitions=["7"])
    assert store.report(partitions=["0"]).wrong


def test_batches_of_partitions_that_are_not_judged_are_no_fault(store: MadeStore) -> None:
    entry = store.batch("c", 0, 1)
    identity = dataclasses.replace(store.identity, start={"0": 0, "1": 0})
    store.write("headrace.json", identity)
    store.write(names.manifest(HUB, "1", 0), Manifest("id", HUB, "1", 0, 5, "test", (entry,)))
    store.write(names.position(HUB, "1"), Position(1, 0))
    span = ({"0": 3, "1": 0}, {"0": 3, "1": 1}, (RunBatch("1", 0, entry),), ("s",))
    store.write(names.run(JOB, 2), RunRecord(JOB, 2, "SomeFlow", "id", HUB, 5, *span))
    store.result(2)
    assert codes(store.report()) == (0, 0)
    assert codes(store.report(partitions=["0"])) == (0, 0)
    store.remove(names.position(HUB, "1"))
    store.remove(names.manifest(HUB, "1", 0))
    assert codes(store.report()) == (1, 1)


def test_an_event_in_batches_of_two_streams_is_twice(store: MadeStore) -> None:
    store.commit(store.batch("a", 6, stream="t"))  # it is a dead letter already
    report = store.report()
    assert codes(report) == (1, 1)
    assert report.twice.count == 1
    assert "more than one of: s, _dead, t" in report.twice.examples[0]


def test_the_senders_sums_are_held_against_the_samples(store: MadeStore) -> None:
    lines = [
        json.dumps({"id": f"m{n}", "sensor": "a", "samples": 2, "sum": 2.0 * n})
        for n in range(10)
        if n != 6
    ]
    lines.append(json.dumps({"id": "m6", "sensor": "a", "samples": 0}))
    assert codes(store.against(*lines)) == (0, 0)
    lines[3] = json.dumps({"id": "m3", "sensor": "a", "samples": 2, "sum": 6.5})
    report = store.against(*lines)
    assert codes(report) == (1, 1)
    assert report.damaged.examples == ["message m3 does not hold what was sent"]
    report = store.against(
        *lines[:3], json.dumps({"id": "m99", "sensor": "a", "samples": 1, "sum": 1})
    )
    assert report.missing.examples == ["message m99: sent 1 times, found 0"]


def test_a_folder_without_a_store_says_so(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    made.remove("headrace.json")
    with pytest.raises(SettingError, match=r"holds no headrace\.json"):
        made.report()


def test_an_object_of_a_newer_headrace_is_refused_by_name(store: MadeStore) -> None:
    store.write(names.position(HUB, "0"), Position(9, 0, format=2))
    with pytest.raises(NewerFormat, match=r"position/.*format 2"):
        store.report()


@pytest.mark.parametrize("n", [1, 3])  # of a run, and of none yet
def test_an_object_that_is_no_json_is_damage_by_name(store: MadeStore, n: int) -> None:
    name = names.manifest(HUB, "0", n)
    store.write(name, b"{")
    report = store.report()
    assert codes(report) == (1, 1)
    assert any(name in example for example in report.damaged.examples)


def test_only_some_examples_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    made.commit(made.batch("a", *range(1, 101, 2)))
    made.position(100)
    report = made.report()
    assert report.missing.count == 51
    assert len(report.missing.examples) == 10
