"""A run record and its bundles, as the reader gives them."""

import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import model, names
from batching.errors import CorruptObject, NewerFormat, SettingError
from flows.reader import Run, read_run
from flows.store import FolderStore
from tests.flows.conftest import START_NS, STORE_ID, Lake, Samples, sine


def chunk(samples: int, start: int = 0) -> Samples:
    times = START_NS + np.arange(start, start + samples, dtype=np.int64)
    return times, np.column_stack([times - START_NS, np.arange(samples) * 0.5])


def test_every_batch_comes_with_its_own_samples(lake: Lake) -> None:
    uri = lake.run(
        [
            *lake.bundle({"press 1/x": [chunk(3), chunk(2, 10)], "b": [chunk(4, 100)]}),
            *lake.bundle({"press 1/x": [chunk(1, 20)]}),
        ]
    )
    batches = list(read_run(uri).batches())
    assert [b.sensor for b in batches] == ["press 1/x", "b", "press 1/x"]
    assert [(b.times_ns - START_NS).tolist() for b in batches] == [
        [0, 1, 2, 10, 11],
        [100, 101, 102, 103],
        [20],
    ]
    assert batches[0].channels == ("x", "y")
    assert batches[0].values.tolist() == [[0, 0], [1, 0.5], [2, 1], [10, 0], [11, 0.5]]
    assert batches[1].times_ns.dtype == np.int64
    assert (batches[0].partition, batches[0].entry.events) == ("0", 2)


def test_a_batch_comes_apart_into_what_each_event_brought(lake: Lake) -> None:
    uri = lake.run(lake.bundle({"a": [chunk(1)], "b": [chunk(3), chunk(2, 10)]}))
    first, second = list(read_run(uri).batches())[1].chunks()
    assert (first.sequence_number, first.message_id, first.enqueued_ns) == (2, "m2", START_NS)
    assert (second.times_ns - START_NS).tolist() == [10, 11]
    assert second.values.tolist() == [[10, 0], [11, 0.5]]


def test_times_are_not_copied_out_of_the_mapped_file(lake: Lake) -> None:
    (batch,) = read_run(lake.run(lake.bundle({"a": [chunk(5)]}))).batches()
    assert not batch.times_ns.flags.writeable
    assert not batch.times_ns.flags.owndata
    assert batch.values[:, 0].flags.c_contiguous


def test_each_bundle_is_opened_once(lake: Lake, monkeypatch) -> None:
    first, second = lake.bundle({"a": [chunk(2)], "b": [chunk(2)]}), lake.bundle({"a": [chunk(2)]})
    run = read_run(lake.run([first[0], second[0], first[1]]))
    opened = []
    get = FolderStore.get
    monkeypatch.setattr(
        FolderStore, "get", lambda self, name: opened.append(name) or get(self, name)
    )
    assert [b.sensor for b in run.batches()] == ["a", "b", "a"]
    assert sorted(opened) == sorted({first[0].entry.data, second[0].entry.data})


def test_a_run_without_batches_gives_none_and_one_empty_group(lake: Lake) -> None:
    run = read_run(lake.run([]))
    assert list(run.batches()) == []
    (group,) = run.groups(5)
    assert group.batches == ()
    assert list(run.batches(group)) == []


def entry(sensor: int, samples: int) -> model.RunBatch:
    made = model.Entry("batch", "vibration", f"s{sensor}", 0, 0, 1, samples=samples, data="d")
    return model.RunBatch("0", 0, made)


@given(
    st.lists(st.builds(entry, st.integers(0, 9), st.integers(0, 1000)), min_size=1),
    st.integers(1, 8),
)
def test_groups_divide_a_run_without_rest_and_keep_sensors_together(batches, width) -> None:
    record = model.RunRecord("j", 0, "F", "s", "h", 0, {}, {}, tuple(batches))
    groups = Run(FolderStore(None), record).groups(width)  # type: ignore[arg-type]
    held = [{batches[i].entry.sensor for i in group.batches} for group in groups]
    assert 1 <= len(groups) <= width
    assert sorted(i for group in groups for i in group.batches) == list(range(len(batches)))
    assert sum(map(len, held)) == len(set().union(*held))
    assert all(g.samples == sum(batches[i].entry.samples for i in g.batches) for g in groups)
    assert pickle.loads(pickle.dumps(groups)) == groups  # noqa: S301
    sizes = {}
    for batch in batches:
        sizes[batch.entry.sensor] = sizes.get(batch.entry.sensor, 0) + batch.entry.samples
    best = max(sum(sizes.values()) / width, *sizes.values())
    assert max(group.samples for group in groups) <= 2 * best


def test_groups_need_a_width(lake: Lake) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        read_run(lake.run([])).groups(0)


def test_a_bundle_that_is_missing_is_named(lake: Lake) -> None:
    batches = lake.bundle({"a": [chunk(2)]})
    lake.store.delete(batches[0].entry.data or "")
    with pytest.raises(CorruptObject, match=r"data/vibration/.* is missing"):
        list(read_run(lake.run(batches)).batches())


@pytest.mark.parametrize("wrong", [{"sensor": "b"}, {"rows": (0, 9)}, {"rows": (1, 3)}])
def test_rows_that_are_not_the_sensors_are_refused(lake: Lake, wrong) -> None:
    batches = lake.bundle({"a": [chunk(2)], "b": [chunk(2)]})
    changed = replace(batches[0], entry=replace(batches[0].entry, **wrong))
    with pytest.raises(CorruptObject, match="manifest says"):
        list(read_run(lake.run([changed])).batches())


def test_a_bundle_that_is_no_arrow_file_is_named(lake: Lake) -> None:
    batches = lake.bundle({"a": [chunk(2)]})
    (lake.path() / str(batches[0].entry.data)).write_bytes(b"garbage")
    with pytest.raises(CorruptObject, match="no Arrow file"):
        list(read_run(lake.run(batches)).batches())


def test_an_arrow_file_that_is_no_bundle_is_named(lake: Lake) -> None:
    batches = lake.bundle({"a": [chunk(2)]})
    plain = pa.table({"time": [1, 2]})
    with pa.ipc.new_file(lake.path() / str(batches[0].entry.data), plain.schema) as writer:
        writer.write_table(plain)
    with pytest.raises(CorruptObject, match="without the table of its chunks"):
        list(read_run(lake.run(batches)).batches())


def test_a_parked_entry_is_refused_not_left_out(lake: Lake) -> None:
    (batch,) = lake.bundle({"a": [chunk(2)]})
    parked = replace(batch, entry=replace(batch.entry, kind="parked"))
    with pytest.raises(NewerFormat, match="parked"):
        list(read_run(lake.run([parked])).batches())


def test_a_record_that_is_not_there_or_no_record_is_named(lake: Lake) -> None:
    with pytest.raises(SettingError, match="there is no run record runs/vibration/000000000003"):
        read_run(f"{lake.uri}/{names.run('vibration', 3)}")
    with pytest.raises(SettingError, match="is no run record"):
        read_run("file:///somewhere/else.txt")


def test_a_record_under_another_name_is_refused(lake: Lake) -> None:
    lake.run([])
    raw = lake.store.get(names.run("vibration", 0))
    lake.store.create(names.run("other", 0), bytes(raw))
    with pytest.raises(CorruptObject, match="says that it is runs/vibration"):
        read_run(f"{lake.uri}/{names.run('other', 0)}")


def test_a_newer_record_is_refused_by_name(lake: Lake) -> None:
    lake.store.create("runs/vibration/000000000009.json", b'{"format": 99}')
    with pytest.raises(NewerFormat, match=r"000000000009\.json has format 99"):
        read_run(f"{lake.uri}/runs/vibration/000000000009.json")


def test_the_example_of_a_sine_survives_the_store(lake: Lake) -> None:
    times, values = sine(3.0)
    uri = lake.run(lake.bundle({"a": [(times[:700], values[:700]), (times[700:], values[700:])]}))
    assert STORE_ID in uri
    (batch,) = read_run(uri).batches()
    assert (batch.times_ns == times).all()
    assert (batch.values == values).all()
