"""`headrace jobs`: the jobs that have records in the store, and the end of one that was removed."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from batching.errors import SettingError
from batching.ports import BlobStore
from batching.runs.records import list_jobs
from batching.runs.retired import retire as end_job
from batching.runs.retired import retired
from ingest.cli.options import Config, Json, new_group
from ingest.cli.told import console

EXAMPLE = """
Examples:

  headrace jobs list --config headrace.yaml

  headrace jobs retire hourly_report --config headrace.yaml
"""
group = new_group(
    "jobs", "Show the jobs of a store, or end one that was removed from the file.", EXAMPLE
)


@group.command("list", epilog=EXAMPLE)
def show(
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show every job that has records or stands in the file, and which of them holds the log."""
    found = asyncio.run(_list(config))
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("job", "state", box=None, header_style="dim")
    for job in found:
        table.add_row(job["job"], job["state"])
    console().print(table)


@group.command(epilog=EXAMPLE)
def retire(
    name: Annotated[str, typer.Argument(help="The job, which is no longer in the file.")],
    config: Config = None,
) -> None:
    """End a job for good: it gets no more runs, lets go of the log, and its name is used up."""
    first = asyncio.run(_retire(name, config))
    typer.echo(f"job {name} is retired" if first else f"job {name} was retired before")


async def _list(config: Path | None) -> list[dict[str, Any]]:
    from ingest.config import load
    from ingest.parts import open_scoped

    settings = load(config, os.environ)
    wanted = [job.name for job in settings.every_job()]
    async with open_scoped(settings, read_only=True) as store:
        known = await list_jobs(store)
        return [
            {"job": job, "state": await _state(store, job, wanted, known)}
            for job in sorted({*known, *wanted})
        ]


async def _state(store: BlobStore, job: str, wanted: list[str], known: list[str]) -> str:
    if await retired(store, job) is not None:
        return "retired"
    if job not in known:
        return "in the file, not begun"
    return "in the file" if job in wanted else "removed, holds the log until it is retired"


async def _retire(name: str, config: Path | None) -> bool:
    from batching.clock import SystemClock
    from ingest.config import load
    from ingest.parts import open_scoped

    settings = load(config, os.environ)
    if name in {job.name for job in settings.every_job()}:
        raise SettingError(
            f"jobs: {name} is still in the file: take it out, start the service without it, and"
            " retire it then"
        )
    async with open_scoped(settings) as store:
        return await end_job(store, name, SystemClock())
