"""`headrace trace`: from an event, batch, bundle or run to all the others."""

import asyncio
import json
from typing import Annotated

import typer

from batching.errors import SettingError
from batching.runs.reports import RunReport
from ingest.cli import runs_shown, trace_shown
from ingest.cli.options import Config, Json
from ingest.cli.runs import open_shelf, places_of
from ingest.cli.told import console
from ingest.since import since_ns

EXAMPLE = """
Examples: an event, a batch, all of a manifest, a bundle, a run, a sensor's newest batches

  headrace trace 0/4711

  headrace trace 0:12:4690

  headrace trace 0:12

  headrace trace data/motion/plant7_telemetry_1796026104341/0/00000000/000000000012-5dd7eed3.arrow

  headrace trace motion/7

  headrace trace --sensor "press-*" --since "2 h"

Exit code: 0 found; 1 the event is missing; 3 it is in no batch yet.
"""


def trace(
    what: Annotated[
        str | None,
        typer.Argument(
            help="PARTITION/NUMBER of an event, PARTITION:MANIFEST[:NUMBER] of batches, a bundle's"
            " address, or a run.",
            show_default=False,
        ),
    ] = None,
    *,
    config: Config = None,
    sensor: Annotated[
        str | None, typer.Option(help="Newest batches of this sensor (`press-*`), instead.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="With --sensor: committed since: 2 h, or a time (UTC).")
    ] = "1 d",
    batches: Annotated[int, typer.Option(min=0, help="Show so many batches.")] = 20,
    as_json: Json = False,
) -> None:
    """Follow an event to its batch, runs and results, or any of these to the others.

    Reads the store, and asks the hub for its last number.
    """
    from ingest.tracing import Traced, trace_sensor
    from ingest.tracing import trace as traced

    if (what is None) == (sensor is None):
        raise SettingError("say what: an event, a batch, a bundle or a run; or --sensor NAME alone")

    async def run() -> tuple[Traced | RunReport, trace_shown.Places, str]:
        async with open_shelf(config) as shelf:
            found: Traced | RunReport
            if what is not None:
                found = await traced(shelf, what)
            else:
                found = await trace_sensor(shelf, str(sensor), since_ns(since), max(1, batches))
            runs = [found] if isinstance(found, RunReport) else found.runs
            return found, {run.place: places_of(shelf, run) for run in runs}, shelf.store.uri

    found, places, uri = asyncio.run(run())
    if isinstance(found, RunReport):
        runs_shown.tell(found, places[found.place], uri, most=batches, as_json=as_json)
        return
    if as_json:
        typer.echo(json.dumps(trace_shown.plain(found, places, uri)))
    else:
        trace_shown.show(found, places, uri, console(), most=batches)
    raise typer.Exit(trace_shown.exit_code(found))
