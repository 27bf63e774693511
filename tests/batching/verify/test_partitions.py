"""Partitions that were added to a hub are judged, though the store's first object lacks them."""

import asyncio
from pathlib import Path

import pytest

from batching import names
from batching.adapters.folder import FolderStore
from batching.errors import SettingError
from batching.model import Manifest
from batching.scope import Scoped
from batching.view import in_order, partitions_of
from tests.batching.verify.made_store import HUB, NOW, MadeStore


def grown(folder: Path, *partitions: str) -> MadeStore:
    """Partition 0 as ever, and one manifest without entries in each of some others."""
    made = MadeStore(folder / "blobs")
    made.commit(made.batch("a", 0, 1))
    made.position(1)
    for partition in partitions:
        for n in (0, 1, 12_345):  # of two blocks: each is a folder of its own
            empty = Manifest("id", HUB, partition, n, NOW, "test", ())
            made.write(names.manifest(HUB, partition, n), empty)
    return made


def test_all_partitions_are_found_in_order(tmp_path: Path) -> None:
    made = grown(tmp_path, "1", "10", "2", "redrive")

    async def run() -> list[str]:
        store = FolderStore(made.folder, read_only=True)
        return await partitions_of(Scoped(store, "id"), made.identity, ("3",))

    assert asyncio.run(run()) == ["0", "1", "2", "3", "10", "redrive"]
    assert sorted(["x", "10", "9"], key=in_order) == ["9", "10", "x"]


def test_a_partition_that_was_added_is_judged_from_number_zero(tmp_path: Path) -> None:
    made = grown(tmp_path)
    report = made.report(last_enqueued={"0": 1, "1": 4})
    assert report.partitions["1"] == {"from": 0, "to": -1}
    assert (report.wrong, report.open, report.events) == (False, 5, 7)
    assert list(made.report(partitions=["0"]).partitions) == ["0"]


def test_a_partition_that_nobody_knows_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    made = grown(tmp_path, "1")
    with pytest.raises(SettingError, match=r"--partition 7 .*; known are 0, 1$"):
        made.report(partitions=["7"])
