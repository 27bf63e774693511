"""A run found by what people have at hand: job and number, or the name of one of its attempts."""

import re
from collections.abc import Sequence

from batching.errors import SettingError
from batching.ports import BlobStore
from batching.runs.jobs import run_mark
from batching.runs.records import RunLog

MOST_ATTEMPTS = 20  # of one record, whose names are tried
_PLACE = re.compile(r"([a-z][a-z0-9_]{0,39})/(\d{1,12})")
_MARK = re.compile(r"(?:[\w.]+/)?[a-z0-9-]*-([a-z2-7]{16})")


async def find_run(
    store: BlobStore, store_id: str, jobs: Sequence[str], what: str
) -> tuple[RunLog, int]:
    """Find the record that somebody means, and its job's log.

    Args:
        store: the scoped store.
        store_id: its id.
        jobs: those that have records.
        what: `job/n`, the name of an attempt, or Metaflow's name for one (`Flow/argo-name`).

    Raises:
        SettingError: there is no such run.

    """
    if (place := _PLACE.fullmatch(what)) is not None:
        log = RunLog(store, store_id, place[1])
        if place[1] not in jobs:
            there = ", ".join(jobs) or "none"
            raise SettingError(f"there is no job {place[1]} in this store; there are: {there}")
        if await log.record(int(place[2])) is None:
            raise SettingError(f"there is no run {what}; job {place[1]} has {await log.end()}")
        return log, int(place[2])
    if (mark := _MARK.fullmatch(what)) is not None:
        return await _by_mark(store, store_id, jobs, what, mark[1])
    raise SettingError(
        f"{what}: expected a run such as motion/7, or the name of one of its attempts, such as"
        " myflow-k3x7q2m5a4b6c7d2"
    )


async def _by_mark(
    store: BlobStore, store_id: str, jobs: Sequence[str], what: str, mark: str
) -> tuple[RunLog, int]:
    """Make the names of all attempts until one is it: a name says nothing but by being equal."""
    logs = [RunLog(store, store_id, job) for job in jobs]
    ends = [(log, await log.end()) for log in logs]
    for k in range(1, MOST_ATTEMPTS + 1):
        for log, end in ends:
            for n in range(end - 1, -1, -1):
                if run_mark(store_id, log.job, n, k) == mark:
                    return log, n
    raise SettingError(f"no run of this store has an attempt named {what}")
