"""`headrace dead-letters`: events that were set aside: list them, look at one, drive them again."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from batching import failpoints
from batching.clock import SystemClock
from batching.errors import SettingError
from batching.letters import Letter
from batching.redrive import Outcome, Redriver
from ingest.cli import letters_shown as shown
from ingest.cli.options import Config, Json, new_group
from ingest.cli.told import console
from ingest.letters import DeadLetters, Wanted, place, wanted

EXAMPLE = """
Examples:

  headrace dead-letters list --reason bad_json --since "2 h"

  headrace dead-letters show 0/4711

  headrace dead-letters redrive --stream motion --dry-run
"""
LIST_EXAMPLE = """
Examples:

  headrace dead-letters list --config headrace.yaml

  headrace dead-letters list --reason bad_json --since "2 h" --limit 10

  headrace dead-letters list --json | jq .counts
"""
SHOW_EXAMPLE = """
Examples:

  headrace dead-letters show 0/4711

  headrace dead-letters show 0/4711 --body - | jq .
"""
REDRIVE_EXAMPLE = """
Examples: mend the settings and restart the service first

  headrace dead-letters redrive --stream motion --dry-run

  headrace dead-letters redrive --reason bad_json --since "2 h"

  headrace dead-letters redrive 0/4711 1/17

A letter comes back once, however often this is called and by how many at the same time.
"""
group = new_group(
    "dead-letters", "List events that were set aside, look at one, drive them again.", EXAMPLE
)
Partition = Annotated[list[str] | None, typer.Option(help="Only of this partition; repeat it.")]
Reason = Annotated[list[str] | None, typer.Option(help="Only with this reason; repeat it.")]
Stream = Annotated[
    list[str] | None,
    typer.Option(help="Only those that broke the rules of this stream; repeat it."),
]
Sensor = Annotated[
    str | None,
    typer.Option(
        "--sensor", "--device", help="Only of this partition key or IoT Hub device (`press-*`)."
    ),
]
Since = Annotated[
    str | None, typer.Option(help="Only those that reached the hub since: 2 h, or a time (UTC).")
]


@group.command("list", epilog=LIST_EXAMPLE)
def list_letters(
    *,
    config: Config = None,
    reason: Reason = None,
    stream: Stream = None,
    sensor: Sensor = None,
    partition: Partition = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many, the newest.")] = 20,
    as_json: Json = False,
) -> None:
    """Count dead letters by their reason, and list the newest of them."""
    chosen = wanted(
        partitions=partition or (),
        reasons=reason or (),
        streams=stream or (),
        sensor=sensor,
        since=since,
    )

    async def run() -> shown.Listing:
        async with _store(config) as letters:
            listing = shown.Listing(await letters.redrives.places(), limit)
            async for letter in letters.find(chosen, _damaged):
                listing.add(letter)
            return listing

    listing = asyncio.run(run())
    if as_json:
        typer.echo(json.dumps(listing.plain()))
    else:
        listing.show(console())


@group.command("show", epilog=SHOW_EXAMPLE)
def show_letter(
    letter: Annotated[str, typer.Argument(help="PARTITION/NUMBER, as `list` names it.")],
    *,
    config: Config = None,
    body: Annotated[
        Path | None, typer.Option(help="Write the body to this file, nothing else; - for stdout.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter: why it was set aside, its headers and its body."""
    which = place(letter)

    async def run() -> tuple[list[Letter], bool]:
        async with _store(config) as letters:
            found = [x async for x in letters.find(Wanted((which,)), _damaged)]
            return found, (await letters.redrives.places()).has(*which)

    found, came_back = asyncio.run(run())
    if not found:
        raise SettingError(f"{letter} is no dead letter")
    if body is not None:
        _write(body, found[0].letter.body)
    elif as_json:
        typer.echo(json.dumps(shown.plain(found[0], came_back=came_back, whole=True)))
    else:
        for each in found:
            shown.show(each, console(), came_back=came_back)


def _write(body: Path, content: bytes) -> None:
    if str(body) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        body.write_bytes(content)
    except OSError as error:
        raise SettingError(f"--body {body}: cannot be written: {error.strerror}") from error


@group.command("redrive", epilog=REDRIVE_EXAMPLE)
def redrive(
    letters: Annotated[
        list[str] | None, typer.Argument(help="PARTITION/NUMBER of each.", show_default=False)
    ] = None,
    *,
    config: Config = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    reason: Reason = None,
    stream: Stream = None,
    sensor: Sensor = None,
    partition: Partition = None,
    since: Since = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back as events, to be decoded by the settings that are in force now.

    They come through partition `redrive`, with all that they had. Mend the settings and restart
    the service first. A letter comes back once; one that fails again is a new dead letter.
    """
    chosen = wanted(
        letters or (),
        partitions=partition or (),
        reasons=reason or (),
        streams=stream or (),
        sensor=sensor,
        since=since,
    )
    if chosen.everything != everything:
        raise SettingError(
            "say which: PARTITION/NUMBER, filters such as --reason bad_json, or --all alone"
        )
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    outcome = asyncio.run(_redrive(config, chosen, dry_run=dry_run, ask=not yes))
    if as_json:
        typer.echo(json.dumps(shown.plain_outcome(outcome, dry_run=dry_run)))
    else:
        shown.show_outcome(outcome, console(), dry_run=dry_run)


async def _redrive(config: Path | None, chosen: Wanted, *, dry_run: bool, ask: bool) -> Outcome:
    async with _store(config) as letters:
        counted = await _count(letters, chosen)
    if dry_run or not counted.driven:
        return counted
    if ask and sys.stdin.isatty():
        typer.confirm(f"re-drive {counted.driven:,} dead letters?", abort=True, err=True)
    async with _store(config, read_only=False) as letters:
        redriver = Redriver(letters.redrives, SystemClock(), writer=letters.writer)
        await redriver.open()
        with Progress(
            console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
        ) as progress:
            task = progress.add_task("re-driving", total=counted.total)
            async for letter in letters.find(chosen, _damaged):
                progress.advance(task)
                if redriver.accept(letter):
                    await redriver.add(letter)
            await redriver.finish()
        return redriver.outcome


async def _count(letters: DeadLetters, chosen: Wanted) -> Outcome:
    """Say what would be done, and that each letter that was named is there."""
    redriver = Redriver(letters.redrives, SystemClock(), writer="")
    await redriver.open()
    missing = set(chosen.places)
    async for letter in letters.find(chosen, _damaged):
        missing.discard((letter.partition, letter.number))
        redriver.outcome.driven += redriver.accept(letter)
    if missing:
        told = ", ".join(f"{partition}/{number}" for partition, number in sorted(missing))
        raise SettingError(f"no dead letter: {told}")
    return redriver.outcome


def _damaged(what: str) -> None:
    Console(stderr=True, highlight=False, markup=False).print(f"cannot be read: {what}")


@asynccontextmanager
async def _store(config: Path | None, *, read_only: bool = True) -> AsyncIterator[DeadLetters]:
    from ingest.config import load
    from ingest.parts import open_blobs

    settings = load(config, os.environ)
    root = await open_blobs(settings, read_only=read_only)
    try:
        yield await DeadLetters.open(root, settings.instance)
    finally:
        await root.close()
