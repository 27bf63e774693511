"""`headrace verify`: the proof that nothing is missing and nothing is there twice."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batching.verify import Report, Senders
from batching.verify import verify as verified
from ingest.cli.options import Config, Json
from ingest.cli.told import console

EXAMPLE = """
Examples:

  headrace verify --config headrace.yaml

  headrace verify --against senders.jsonl --allow-pending

Exit code: 0 complete; 1 something is missing, twice or damaged; 3 something is not done yet.
"""


def verify(
    config: Config = None,
    against: Annotated[
        Path | None, typer.Option(help="The log of `headrace send --log`: what was sent.")
    ] = None,
    partition: Annotated[
        list[str] | None, typer.Option(help="Judge only these partitions; repeat it.")
    ] = None,
    to: Annotated[
        int | None, typer.Option(help="Judge numbers up to this one, not the checkpoint.")
    ] = None,
    allow_pending: Annotated[
        bool, typer.Option("--allow-pending", help="What is not done yet is no fault.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Account for every event, batch and run in the store, beside a live service or without."""
    senders = None if against is None else Senders.read(against)
    report = asyncio.run(_verify(config, partition, to, senders))
    if as_json:
        typer.echo(json.dumps(report.plain()))
    else:
        show(report, console())
    raise typer.Exit(report.exit_code(allow_pending=allow_pending))


async def _verify(
    config: Path | None, partitions: list[str] | None, upto: int | None, senders: Senders | None
) -> Report:
    from ingest.config import load
    from ingest.opening import last_enqueued
    from ingest.parts import open_blobs

    settings = load(config, os.environ)
    root = await open_blobs(settings, read_only=True)
    try:
        last = None if upto is not None else await last_enqueued(settings)
        if last is None and upto is None:
            note = "the hub does not answer: what it holds beyond the checkpoint is not counted"
            Console(stderr=True).print(f"[dim]{note}[/]")
        return await verified(
            root, partitions=partitions, upto=upto, senders=senders, last_enqueued=last
        )
    finally:
        await root.close()


def show(report: Report, console: Console) -> None:
    """Print what was found: partitions, then faults with examples, then the closing line."""
    table = Table("partition", "numbers from", "to", box=None, header_style="dim")
    for partition, span in report.partitions.items():
        table.add_row(partition, f"{span['from']:,}", f"{span['to']:,}")
    console.print(table)
    for name in ("missing", "twice", "damaged"):
        found = getattr(report, name)
        for example in found.examples:
            console.print(f"[red]{name}:[/] {escape(example)}", soft_wrap=True)
        if found.count > len(found.examples):
            console.print(f"[red]{name}:[/] and {found.count - len(found.examples):,} more")
    _show_lost(report, console)
    for run in report.failed_runs:
        console.print(f"[yellow]failed:[/] {escape(run)}", soft_wrap=True)
    if report.sent is not None:
        console.print(_senders(report, report.sent), soft_wrap=True)
    colour = "red" if report.wrong else "yellow" if report.pending else "green"
    console.print(f"[bold {colour}]{report.closing_line()}[/]", soft_wrap=True)


def _show_lost(report: Report, console: Console) -> None:
    for example in report.lost.examples:
        console.print(f"[yellow]lost:[/] {escape(example)}", soft_wrap=True)
    if report.lost.count:
        note = "the hub had dropped them before they were read, or they were skipped because of it"
        console.print(f"[dim]{note}[/]", soft_wrap=True)


def _senders(report: Report, sent: int) -> str:
    parts = [f"senders: {sent:,} events sent"]
    if report.wrong or report.open:
        return parts[0]
    parts.append(f"{report.sent_twice:,} of them repeats")
    if report.sent_lost:
        parts.append(f"{report.sent_lost:,} not found, among the lost")
    if report.sent_set_aside:
        parts.append(f"{report.sent_set_aside:,} with samples set aside as dead letters")
    return f"{', '.join(parts)}; counts and sample sums agree"
