"""`headrace status`: how each partition and each job stands."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from batching.identity import existing_store
from batching.model import Store
from batching.names import REDRIVE
from batching.ports import BlobStore
from batching.redrive import RedriveLog
from batching.runs.records import list_jobs
from batching.runs.reports import RunStatus, list_runs
from batching.runs.retired import retired
from batching.scope import Scoped
from batching.view import Log, partitions_of
from ingest.cli.options import Config, Json
from ingest.cli.told import console

EXAMPLE = """
Examples:

  headrace status --config headrace.yaml

  headrace status --json | jq .jobs
"""


def status(
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show partitions and jobs as they lie in the store; works beside a service or without one."""
    found = asyncio.run(_status(config))
    if as_json:
        typer.echo(json.dumps(found))
        return
    out = console()
    place = f"store {found['store']} of hub {found['hub']}, group {found['group']}"
    out.print(escape(place), soft_wrap=True)
    out.print(_table(("partition", "checkpoint", "manifests", "lost"), found["partitions"]))
    if found["re_driven"]:
        out.print(f"{found['re_driven']:,} dead letters re-driven")
    if found["jobs"]:
        columns = ("job", "runs", *(status.value for status in RunStatus), "batches")
        rows = [{**job, "job": _named(job)} for job in found["jobs"]]
        out.print(_table(columns, rows))
    for run in found["failed"]:
        out.print(f"[red]failed:[/] {run}")


def _table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Table:
    table = Table(*columns, box=None, header_style="dim")
    for row in rows:
        table.add_row(*(_cell(row.get(name, 0)) for name in columns))
    return table


def _named(job: dict[str, Any]) -> str:
    return f"{job['job']} (retired)" if job["retired"] else str(job["job"])


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


async def _status(config: Path | None) -> dict[str, Any]:
    from ingest.config import load
    from ingest.parts import open_blobs

    root = await open_blobs(load(config, os.environ), read_only=True)
    try:
        identity = await existing_store(root)
        return await _read(root, identity)
    finally:
        await root.close()


async def _read(root: BlobStore, identity: Store) -> dict[str, Any]:
    store = Scoped(root, identity.id)
    re_driven = await RedriveLog(store, identity).end()
    partitions = [
        await _partition(Log(root, store, identity, partition))
        for partition in await partitions_of(store, identity, (REDRIVE,) if re_driven else ())
    ]
    jobs, failed = [], []
    for job in await list_jobs(store):
        ended = await retired(store, job) is not None
        counts: dict[str, Any] = {"job": job, "runs": 0, "batches": 0, "retired": ended}
        async for run in list_runs(store, identity.id, job):
            if not run.batches:
                continue
            counts["runs"] += 1
            counts["batches"] += len(run.batches)
            counts[run.status.value] = counts.get(run.status.value, 0) + 1
            if run.status is RunStatus.FAILED and not ended:
                failed.append(f"{job}/{run.n}")
        jobs.append(counts)
    return {
        "store": identity.id,
        "hub": identity.hub,
        "group": identity.consumer_group,
        "partitions": partitions,
        "re_driven": re_driven,
        "jobs": jobs,
        "failed": failed,
    }


async def _partition(log: Log) -> dict[str, Any]:
    view, _ = await log.read()
    return {
        "partition": log.partition,
        "checkpoint": view.checkpoint,
        "manifests": view.next,
        "lost": view.lost.events,
    }
