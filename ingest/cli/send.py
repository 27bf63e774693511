"""`headrace send`: virtual sensors, to any Event Hubs connection string."""

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from batching.errors import SettingError
from ingest.virtual.plan import Habits, Plan
from ingest.virtual.recording import SHIPPED, signals
from ingest.virtual.sender import Sender, Sent

EMBEDDED = Path("headrace-data/hub/ready.json")
EXAMPLE = """
Examples:

  headrace send --rate 50 --events 3000 --log senders.jsonl

  headrace send --to "$CONNECTION" --hub telemetry --recording press.parquet

The first goes to the embedded hub of `headrace run`; its log is for `headrace verify --against`.
"""


def send(
    to: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_SEND_TO",
            help="Event Hubs connection string; the embedded hub under headrace-data if not given.",
        ),
    ] = None,
    hub: Annotated[str, typer.Option(help="Name of the hub.")] = "telemetry",
    sensors: Annotated[int, typer.Option(min=1, help="How many sensors.")] = 12,
    rate: Annotated[
        float, typer.Option(min=0, help="Events a second over all sensors; 0: no limit.")
    ] = 50.0,
    events: Annotated[
        int, typer.Option(min=0, help="Stop after so many events; 0: go on until Ctrl-C.")
    ] = 0,
    recording: Annotated[
        str,
        typer.Option(help="smartwatch (shipped), sine, noise, or an .npz, .csv, .parquet file."),
    ] = SHIPPED,
    chunk: Annotated[
        str, typer.Option(help="Samples in a chunk, log-normal: MEDIAN or MEDIAN,SIGMA.")
    ] = "120,0.8",
    late: Annotated[float, typer.Option(help="Share of chunks that arrive out of order.")] = 0.03,
    repeated: Annotated[float, typer.Option(help="Share of messages that are sent twice.")] = 0.02,
    garbage: Annotated[float, typer.Option(help="Share of bodies nobody can decode.")] = 0.0,
    partition: Annotated[
        list[str] | None,
        typer.Option(help="Send to these partitions instead of by partition key; repeat it."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed sends the same.")] = 1,
    log: Annotated[
        Path | None, typer.Option(help="Append a line for each event that the hub accepted.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Send what real sensors send: chunks of all sizes, bursts, silences, late, some twice."""
    habits = Habits(chunk=_chunk(chunk), late=late, repeated=repeated, garbage=garbage)
    plan = Plan(signals(recording, sensors, seed=seed), habits, seed, time.time() * 1_000)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet,
        transient=True,
    ) as progress:
        task = progress.add_task("connecting", total=None)
        sender = Sender(
            to or _embedded(),
            hub,
            partitions=partition or (),
            log=log,
            progress=lambda sent: progress.update(task, description=_said(sent)),
        )
        sent = asyncio.run(_send(sender, plan, events or None, rate))
    Console(stderr=True).print(f"sent {_said(sent)}")


def _embedded() -> str:
    """Find the embedded hub that runs here."""
    try:
        return str(json.loads(EMBEDDED.read_text())["connection_string"])
    except (OSError, ValueError, KeyError):
        raise SettingError(
            f"--to is missing, and no embedded hub runs here ({EMBEDDED} does not say where):"
            " start `headrace run` first, or give an Event Hubs connection string"
        ) from None


def _chunk(text: str) -> tuple[float, float]:
    try:
        median, _, sigma = text.partition(",")
        return float(median), float(sigma or 0.8)
    except ValueError:
        raise SettingError(f"--chunk {text}: expected MEDIAN or MEDIAN,SIGMA, as 120,0.8") from None


def _said(sent: Sent) -> str:
    size = sent.bytes / 1e6
    return (
        f"{sent.events:,} events, {sent.samples:,} samples, {size:.1f} MB"
        f" of {len(sent.sensors)} sensors"
    )


async def _send(sender: Sender, plan: Plan, events: int | None, rate: float) -> Sent:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return await sender.send(plan, events=events, rate=rate, stop=stop)
