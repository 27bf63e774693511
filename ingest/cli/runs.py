"""`headrace runs`: the runs of a store, and one of them with all that belongs to it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batching import failpoints
from batching.errors import SettingError
from batching.identity import existing_store
from batching.runs.finding import find_run
from batching.runs.records import list_jobs
from batching.runs.reports import RunReport, RunStatus, newest_runs, read_run
from batching.scope import Scoped
from ingest.cli import runs_shown as shown
from ingest.cli.options import Config, Json, new_group
from ingest.cli.told import console, count
from ingest.since import since_ns

if TYPE_CHECKING:  # half a second
    from ingest.retrying import Retries
    from ingest.tracing import Shelf

EXAMPLE = """
Examples:

  headrace runs list --status failed --since "1 d"

  headrace runs show motion/7

  headrace runs retry motion/7
"""
LIST_EXAMPLE = """
Examples:

  headrace runs list --config headrace.yaml

  headrace runs list --job motion --status failed --since "2 h" --limit 50

  headrace runs list --json | jq -r '.runs[] | select(.attempts > 1) | .run'
"""
SHOW_EXAMPLE = """
Examples: a run by its number, or by the name of an attempt, which logs and Argo have

  headrace runs show motion/7

  headrace runs show myflow-k3x7q2m5a4b6c7d2 --batches 1000

  headrace runs show motion/7 --json | jq -r .result.outputs
"""
RETRY_EXAMPLE = """
Examples: mend what made them fail first

  headrace runs retry motion/7

  headrace runs retry --all-failed --job motion --dry-run

  headrace runs retry --all-failed --yes

However often this is called, and by how many at the same time, it makes one attempt.
"""
CLOCKS_NS = 300 * 10**9  # how far the clocks of dispatchers may be apart
group = new_group(
    "runs",
    "List the runs of jobs, show one with all that belongs to it, or try one again.",
    EXAMPLE,
)


@asynccontextmanager
async def open_shelf(config: Path | None, *, read_only: bool = True) -> AsyncIterator["Shelf"]:
    """Open the store.

    Raises:
        SettingError: there is none yet.

    """
    from ingest.config import load
    from ingest.parts import open_blobs
    from ingest.tracing import Shelf

    settings = load(config, os.environ)
    root = await open_blobs(settings, read_only=read_only)
    try:
        identity = await existing_store(root)
        store = Scoped(root, identity.id)
        yield Shelf(settings, root, store, identity, await list_jobs(store))
    finally:
        await root.close()


@group.command("list", epilog=LIST_EXAMPLE)
def list_runs(
    *,
    config: Config = None,
    job: Annotated[list[str] | None, typer.Option(help="Only of this job; repeat it.")] = None,
    status: Annotated[
        list[RunStatus] | None,
        typer.Option(help="Only those that stand so; repeat it. Empty ones start nothing."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those recorded since: 2 h, or a time (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest runs, the newest last; beside a live service or without one."""
    wanted = set(status or set(RunStatus) - {RunStatus.EMPTY})
    begin_ns = 0 if since is None else since_ns(since)

    async def run() -> list[RunReport]:
        async with open_shelf(config) as shelf:
            found: list[RunReport] = []
            for name in _chosen(job or (), shelf.jobs):
                found += await _newest(shelf, name, wanted, begin_ns, limit)
            return sorted(found, key=lambda run: (run.record.written, run.n))[-limit:]

    runs = asyncio.run(run())
    if as_json:
        typer.echo(json.dumps({"runs": [shown.plain(each) for each in runs]}))
    else:
        shown.show_list(runs, console())


def _chosen(wanted: Sequence[str], known: Sequence[str]) -> Sequence[str]:
    for name in wanted:
        if name not in known:
            there = ", ".join(known) or "none"
            raise SettingError(
                f"--job {name}: it has no runs in this store; jobs that have: {there}"
            )
    return wanted or known


async def _newest(
    shelf: "Shelf", job: str, wanted: set[RunStatus], begin_ns: int, limit: int
) -> list[RunReport]:
    """Read a job's runs from the newest back, until there are enough or they are too old."""
    found: list[RunReport] = []
    async for run in newest_runs(shelf.store, shelf.identity.id, job):
        if run.record.written < begin_ns - CLOCKS_NS:
            break
        if run.status in wanted and run.record.written >= begin_ns:
            found.append(run)
            if len(found) == limit:
                break
    return found


@group.command("show", epilog=SHOW_EXAMPLE)
def show_run(
    run: Annotated[str, typer.Argument(help="JOB/NUMBER, or the name of one of its attempts.")],
    *,
    config: Config = None,
    batches: Annotated[int, typer.Option(min=0, help="Show so many of its batches.")] = 20,
    as_json: Json = False,
) -> None:
    """Show one run: its batches, every attempt and where to look at it, and its result."""

    async def read() -> tuple[RunReport, shown.Places, str]:
        async with open_shelf(config) as shelf:
            log, n = await find_run(shelf.store, shelf.identity.id, shelf.jobs, run)
            found = await read_run(log, n)
            if found is None:
                raise SettingError(f"there is no run {run}")
            return found, places_of(shelf, found), shelf.store.uri

    found, places, uri = asyncio.run(read())
    shown.tell(found, places, uri, most=batches, as_json=as_json)


def places_of(shelf: "Shelf", run: RunReport) -> shown.Places:
    """Tell where each attempt of a run is looked at."""
    from ingest.whereabouts import whereabouts

    flow = run.record.flow
    return {
        each.attempt: whereabouts(shelf.settings, run.job, flow, each.name) for each in run.attempts
    }


@group.command("retry", epilog=RETRY_EXAMPLE)
def retry_runs(
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="JOB/NUMBER of each, or the name of an attempt.", show_default=False),
    ] = None,
    *,
    config: Config = None,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="All runs that were given up.")
    ] = False,
    job: Annotated[
        list[str] | None, typer.Option(help="With --all-failed: only of this job; repeat it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for another attempt at runs that were given up; the service makes it once it runs.

    One attempt each; it starts as soon as the job has room, before new runs do. What retention
    has taken cannot be tried again.
    """
    if bool(runs) == all_failed or (job and not all_failed):
        raise SettingError("say which: JOB/NUMBER of each; or --all-failed, with --job or without")
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    made = asyncio.run(_retry(config, runs or (), job or (), dry_run=dry_run, confirm=not yes))
    if as_json:
        typer.echo(json.dumps(shown.plain_retries(made, dry_run=dry_run)))
    else:
        shown.show_retries(made, console(), dry_run=dry_run)


async def _retry(
    config: Path | None,
    runs: Sequence[str],
    jobs: Sequence[str],
    *,
    dry_run: bool,
    confirm: bool,
) -> "Retries":
    from ingest.retrying import given_up, named, retry

    async with open_shelf(config) as shelf:
        wanted = await (named(shelf, runs) if runs else given_up(shelf, jobs))
        made = await retry(shelf, wanted, dry_run=True)
    if runs and made.refused:
        raise SettingError("; ".join(f"{run}: {why}" for run, why in made.refused.items()))
    if dry_run or not made.asked:
        return made
    if confirm and sys.stdin.isatty():
        typer.confirm(f"try {count(len(made.asked), 'run')} again?", abort=True, err=True)
    async with open_shelf(config, read_only=False) as shelf:
        return await retry(shelf, wanted, dry_run=False)
