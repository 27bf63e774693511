"""`headrace demo`: the main job on this machine, shown while it works, and its proof."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from batching.verify import Report
from ingest.demo.main_job import Demo, Wish, new_folder
from ingest.demo.table import sensors
from ingest.stopping import stop_on_signals

LINE_SECONDS = 5.0
PLAIN_WIDTH = 100
SHOWN = (
    ("received", "headrace_events_received_total"),
    ("sensors open", "headrace_open_sensors"),
    ("batches committed", "headrace_batches_committed_total"),
    ("dead letters", "headrace_dead_letters_total"),
    ("runs in flight", "headrace_runs_in_flight"),
    ("runs done", "headrace_runs_total"),
)
EXAMPLE = """
Examples:

  headrace demo

  headrace demo --kill          the service is killed with -9 half way, and goes on
"""


def demo(
    events: Annotated[int, typer.Option(min=100, help="Messages to send.")] = Wish().events,
    rate: Annotated[float, typer.Option(min=1, help="Messages a second.")] = Wish().rate,
    kill: Annotated[bool, typer.Option("--kill", help="Kill the service half way.")] = False,
    data: Annotated[Path, typer.Option(help="Where to put it all.")] = Path("headrace-data"),
) -> None:
    """Run hub, service, twelve sensors that replay real recordings, and a flow; then prove it."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    began = time.monotonic()
    report, shown = asyncio.run(_run(console, new_folder(data), Wish(events, rate, kill)))
    if report is None:
        console.print(f"stopped; what there is lies in {shown.folder}")
        raise typer.Exit(130)
    _show(console, report, shown, time.monotonic() - began)
    raise typer.Exit(report.exit_code(allow_pending=False))


async def _run(console: Console, folder: Path, wish: Wish) -> tuple[Report | None, Demo]:
    stop = asyncio.Event()
    stop_on_signals(stop)
    demo = Demo(folder, wish, stop)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        report = await demo.run(_Screen(console, live, demo, wish).tick)
    return (None if stop.is_set() else report), demo


class _Screen:
    """What is shown while it works: a board on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, live: Live, demo: Demo, wish: Wish) -> None:
        self._console, self._live, self._demo, self._wish = console, live, demo, wish
        self._said = 0.0

    def tick(self) -> None:
        """Show how it goes."""
        if self._console.is_terminal:
            self._live.update(self._board(), refresh=True)
        elif time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            facts = ", ".join(f"{value} {name}" for name, value in self._facts())
            self._console.print(f"{self._demo.progress.phase}: {facts}", soft_wrap=True)

    def _facts(self) -> list[tuple[str, str]]:
        metrics = self._demo.service.metrics
        found = [("events sent", f"{self._demo.progress.sent.events:,}")]
        found += [(said, f"{metrics.get(name, 0):,.0f}") for said, name in SHOWN]
        if self._demo.service.restarts:
            found.append(("restarts of the service", str(self._demo.service.restarts)))
        return found

    def _board(self) -> Table:
        title = f"{self._demo.progress.phase} (about {self._wish.events:,} events)"
        table = Table(title=title, box=None, title_justify="left", show_header=False)
        for name, value in self._facts():
            table.add_row(f"[dim]{name}[/]", value)
        return table


def _show(console: Console, report: Report, demo: Demo, seconds: float) -> None:
    folder, back = demo.folder, demo.service.back_seconds
    console.print(sensors(report, folder))
    if back is not None:
        console.print(f"the service was killed and went on {back:.1f} s later")
    for name in ("missing", "twice", "damaged"):
        for example in getattr(report, name).examples:
            console.print(f"[red]{name}:[/] {escape(example)}", soft_wrap=True)
    again = f"--config {folder}/headrace.yaml --against {folder}/senders.jsonl"
    for line in (
        f"results: {folder}/blobs/*/outputs/motion/*/features.parquet",
        f"logs:    {folder}/service.log, {folder}/runs/*.log",
        f"again:   headrace verify {again}",
    ):
        console.print(line, soft_wrap=True)
    colour = "red" if report.wrong else "yellow" if report.pending else "green"
    console.print(f"took {seconds:.0f} s")
    console.print(f"[bold {colour}]{report.closing_line()}[/]", soft_wrap=True)
    sys.stdout.flush()
