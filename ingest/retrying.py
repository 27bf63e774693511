"""Which runs `headrace runs retry` means, what can be asked for, and the asking itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batching.errors import SettingError
from batching.runs.finding import find_run
from batching.runs.records import RunLog
from batching.runs.reports import RunStatus, list_runs
from batching.runs.retired import refuse_retired
from batching.runs.retries import ask
from ingest.tracing import Shelf

Wanted = Mapping[str, Sequence[int]]  # records, by job


@dataclass(slots=True)
class Retries:
    """What came of it, by the names of runs: attempts that are asked for, or why none can be."""

    asked: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)  # asked for already
    refused: dict[str, str] = field(default_factory=dict)


async def named(shelf: Shelf, runs: Sequence[str]) -> Wanted:
    """Find the runs that somebody names.

    Raises:
        SettingError: there is no such run, or nobody would drive it.

    """
    found: dict[str, set[int]] = {}
    for run in runs:
        log, n = await find_run(shelf.store, shelf.identity.id, shelf.jobs, run)
        found.setdefault(log.job, set()).add(n)
    for job in found:
        await _check_driven(shelf, job)
    return {job: sorted(numbers) for job, numbers in found.items()}


async def given_up(shelf: Shelf, jobs: Sequence[str]) -> Wanted:
    """Find every run of some jobs, or of all in the file, that was given up.

    Raises:
        SettingError: nobody would drive the runs of a job that is named.

    """
    for job in jobs:
        await _check_driven(shelf, job)
    known = {each.name for each in shelf.settings.every_job()}
    chosen = jobs or [job for job in shelf.jobs if job in known]
    return {job: await _failed(shelf, job) for job in chosen}


async def _failed(shelf: Shelf, job: str) -> list[int]:
    runs = list_runs(shelf.store, shelf.identity.id, job)
    return [run.n async for run in runs if run.status is RunStatus.FAILED]


async def _check_driven(shelf: Shelf, job: str) -> None:
    if job not in {each.name for each in shelf.settings.every_job()}:
        raise SettingError(
            f"job {job} is not in the file: nothing would try its runs again; put it back first"
        )
    await refuse_retired(shelf.store, job)


async def retry(shelf: Shelf, wanted: Wanted, *, dry_run: bool) -> Retries:
    """Ask for another attempt at runs, or say what would be asked for."""
    made = Retries()
    for job, numbers in wanted.items():
        log = RunLog(shelf.store, shelf.identity.id, job)
        answer = await ask(log, shelf.identity, numbers, dry_run=dry_run)
        made.asked |= {f"{job}/{n}": k for n, k in answer.asked.items()}
        made.before |= {f"{job}/{n}": k for n, k in answer.before.items()}
        made.refused |= {f"{job}/{n}": why for n, why in answer.refused.items()}
    return made
