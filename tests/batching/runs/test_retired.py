"""A job that is retired holds nothing, and never begins again under its name."""

import asyncio
import dataclasses
from pathlib import Path

import pytest

from batching import names
from batching.adapters.folder import FolderStore
from batching.clock import SystemClock
from batching.errors import SettingError
from batching.runs.records import list_jobs
from batching.runs.retired import open_jobs, refuse_retired, retire, retired
from batching.scope import Scoped
from tests.batching.verify.made_store import JOB, MadeStore


def made(folder: Path) -> tuple[MadeStore, Scoped]:
    """A job with one run that succeeded, one that failed, and a batch in none."""
    store = MadeStore(folder / "blobs")
    for number in range(3):
        store.commit(store.batch("a", number))
    store.position(2)
    store.run(0, 0, 1)
    store.run(1, 1, 2)
    store.result(0)
    store.failed(1, "it broke")
    return store, Scoped(FolderStore(store.folder), store.identity.id)


def test_a_job_is_retired_once_and_its_records_stay(tmp_path: Path) -> None:
    _, store = made(tmp_path)

    async def story() -> None:
        assert await open_jobs(store) == [JOB]
        await refuse_retired(store, JOB)
        assert await retire(store, JOB, SystemClock())
        assert not await retire(store, JOB, SystemClock())
        assert (await list_jobs(store), await open_jobs(store)) == ([JOB], [])
        found = await retired(store, JOB)
        assert found is not None
        assert found.job == JOB
        with pytest.raises(SettingError, match=f"{JOB} was retired on 20.*another name"):
            await refuse_retired(store, JOB)

    asyncio.run(story())


def test_a_job_that_nobody_knows_cannot_be_retired(tmp_path: Path) -> None:
    _, store = made(tmp_path)
    with pytest.raises(SettingError, match=rf"no job other .*: {JOB}$"):
        asyncio.run(retire(store, "other", SystemClock()))


def test_verify_waits_for_nothing_of_a_retired_job_and_still_checks_it(tmp_path: Path) -> None:
    store, scoped = made(tmp_path)
    assert (store.report().pending_batches, store.report().runs["failed"]) == (1, 1)
    asyncio.run(retire(scoped, JOB, SystemClock()))
    report = store.report()
    assert (report.pending, report.runs) == (False, {"succeeded": 1, "failed": 0, "running": 0})
    assert report.closing_line().endswith("1 run succeeded, 1 job retired")
    assert report.exit_code(allow_pending=False) == 0
    store.run(1, 1, 2, leave_out=1)
    assert store.report().missing.count == 1


def test_its_object_lies_with_its_records_and_is_none_of_them(tmp_path: Path) -> None:
    store, scoped = made(tmp_path)
    asyncio.run(retire(scoped, JOB, SystemClock()))
    assert store.path(names.retired(JOB)).exists()
    assert dataclasses.asdict(store.report())["runs"]["succeeded"] == 1
