"""Jobs that have ended for good: they hold no manifests back, and their names are used up.

A removed job keeps its vector, so that it goes on where it was if it comes back; until it is
retired, nothing behind that vector may be trimmed. Retiring is an object that is created once.
"""

import time

from batching import names
from batching.errors import SettingError
from batching.model import Retired, dump, load
from batching.ports import BlobStore, Clock
from batching.runs.records import list_jobs


async def retired(store: BlobStore, job: str) -> Retired | None:
    """Read when a job was retired; None if it was not."""
    name = names.retired(job)
    raw = await store.get(name)
    return None if raw is None else load(Retired, name, raw)


async def open_jobs(store: BlobStore) -> list[str]:
    """List the jobs that have records and are not retired: those that hold manifests back."""
    return [job for job in await list_jobs(store) if await retired(store, job) is None]


async def retire(store: BlobStore, job: str, clock: Clock) -> bool:
    """End a job for good; False if that was done before.

    Raises:
        SettingError: there is no such job in the store.

    """
    known = await list_jobs(store)
    if job not in known:
        there = ", ".join(known) or "none"
        raise SettingError(f"there is no job {job} in this store; jobs that have records: {there}")
    return await store.create(names.retired(job), [dump(Retired(job, clock.now_ns()))])


async def refuse_retired(store: BlobStore, job: str) -> None:
    """Make sure that a job may run.

    Raises:
        SettingError: it was retired.

    """
    found = await retired(store, job)
    if found is not None:
        day = time.strftime("%Y-%m-%d", time.gmtime(found.written / 1e9))
        raise SettingError(
            f"jobs: {job} was retired on {day}, and what it was not handed by then may be gone:"
            " give the job that comes back another name, and start: now or earliest"
        )
