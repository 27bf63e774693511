"""`headrace check`: is a settings file right, and what does it say?"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from ruamel.yaml import YAML

from ingest.cli.options import Json
from ingest.config import Settings, WrongSettings, load_all
from ingest.settings.show import resolved, where_from, where_to
from ingest.settings.stream import Match, Seal

EXAMPLE = """
Examples:

  headrace check headrace.yaml                   every fault, or what the service would do

  headrace check headrace.yaml --show            all settings, with defaults and variables

  headrace check --show                          the embedded default
"""
WRONG = 2


def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="The YAML file; without one the embedded default.", show_default=False),
    ] = None,
    *,
    show: Annotated[bool, typer.Option("--show", help="Print all settings, as YAML.")] = False,
    as_json: Json = False,
) -> None:
    """Check the settings: a file, HEADRACE_ variables over it. Exit code 2 if any is wrong.

    All settings with their variables: docs/reference/settings.md.
    """
    try:
        settings, warnings = load_all(file, os.environ)
    except WrongSettings as error:
        _tell_faults(file, error.lines, as_json=as_json)
        raise typer.Exit(WRONG) from None
    if as_json:
        facts = {"valid": True, "errors": [], "warnings": list(warnings)}
        sys.stdout.write(json.dumps({**facts, "settings": resolved(settings)}, indent=2) + "\n")
    elif show:
        YAML().dump(resolved(settings), sys.stdout)
    else:
        _tell(Console(highlight=False), settings)
    if not as_json:
        for warning in warnings:
            told = Console(stderr=True, highlight=False, emoji=False)
            told.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _tell_faults(file: Path | None, lines: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        facts = {"valid": False, "errors": list(lines), "warnings": []}
        sys.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console(stderr=True, highlight=False, emoji=False)
    for line in lines:
        console.print(f"[red]error:[/] {escape(line)}", soft_wrap=True)
    name = escape(str(file)) if file else "the settings"
    console.print(f"{name}: {len(lines)} {'error' if len(lines) == 1 else 'errors'}")


def _tell(console: Console, settings: Settings) -> None:
    console.print(f"[green]valid[/]  {escape(where_from(settings))}", soft_wrap=True)
    console.print(f"       {escape(where_to(settings))}", soft_wrap=True)
    console.print(_streams(settings))
    if settings.runs():
        console.print(_jobs(settings))


def _streams(settings: Settings) -> Table:
    table = _table("stream", "takes", "sensor", "body", "channels", "sealed at")
    for name, stream in settings.streams.items():
        body = f"{stream.decode.format}, times in {stream.decode.time.unit}"
        by = stream.sensor.spec()
        sensor = f"{by.by} {by.name}" if by.name else by.by
        channels = " ".join(stream.decode.channels)
        table.add_row(
            *map(escape, (name, _taken(stream.match), sensor, body, channels)), _sealed(stream.seal)
        )
    return table


def _jobs(settings: Settings) -> Table:
    table = _table("job", "flow", "over", "started by", "starts", "at most", "in flight")
    for name, (run, over) in settings.runs().items():
        most = f"{run.most[0]} batches, {run.most[1]}"
        starts = f"{run.schedule} {run.zone}" if run.schedule else f"after {run.after}"
        cells = (name, run.flow, " ".join(over), run.launcher, starts, most)
        table.add_row(*map(escape, cells), str(run.in_flight))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _taken(match: Match) -> str:
    parts = [f"{name}={pattern}" for name, pattern in match.property.items()]
    parts += [f"sensors {' '.join(match.sensors)}"] if match.sensors else []
    parts += [match.content_type] if match.content_type else []
    return ", ".join(parts) or "every event"


def _sealed(seal: Seal) -> str:
    triggers: list[tuple[Any, str]] = [
        (seal.max_samples and f"{seal.max_samples:,}", " samples"),
        (seal.max_bytes, ""),
        (seal.max_chunks and f"{seal.max_chunks:,}", " chunks"),
        (seal.max_age, ""),
    ]
    return ", ".join(f"{value}{unit}" for value, unit in triggers if value is not None)
