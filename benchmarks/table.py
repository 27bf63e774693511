"""The table and the picture of a comparison, from the file that it wrote."""

import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import typer

mpl.use("Agg")  # no screen

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.command import start
from benchmarks.contenders import CONTENDERS, Cost
from benchmarks.peers.code import lines_of
from benchmarks.sheet import Sheet
from benchmarks.workloads import WORKLOADS

MARKS = re.compile(r"(<!-- peers -->\n).*?(<!-- end of peers -->)", re.DOTALL)
HEADINGS = (
    "speed, `bare` = 1",
    "`durable`/this one",
    "CPU, µs an event",
    "peak memory, MB",
    "start-up, s",
    "user's lines",
)
MB, THOUSAND = 10**6, 1_000
EXAMPLE = """
Examples:

  python -m benchmarks.table peers.jsonl                  the table, for a terminal

  python -m benchmarks.table peers.jsonl --page docs/explanation/performance.md \\
      --picture docs/explanation/peers.png
"""


def table(
    file: Annotated[Path, typer.Argument(exists=True, help="What `benchmarks.peers` wrote.")],
    *,
    page: Annotated[Path | None, typer.Option(help="A page with the marks of the table.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Where to draw a PNG.")] = None,
) -> None:
    """Write table and picture."""
    sheet = Sheet(file)
    text = "\n".join(markdown(sheet))
    if page is None:
        print(text)
    else:
        page.write_text(MARKS.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page.read_text()))
    if picture is not None:
        draw(sheet, picture)


def markdown(sheet: Sheet) -> Iterator[str]:
    """Give a line about the machine, then a table for each workload."""
    last = sheet.sessions()[-1]
    about, days = last["machine"], sorted({line.get("day", "") for line in sheet.sessions()})
    of_peers = (of for line in sheet.sessions() for of in line.get("versions", {}).values())
    known = {k: v for of in of_peers for k, v in of.items()}
    versions = ", ".join(f"{k} {v}" for k, v in known.items() if k != "numpy")
    yield (
        f"{' and '.join(days)}, Python {about['python']}, {about['cores']} cores, load before "
        f"{about['load']}; {versions}. Medians, lowest and highest in brackets."
    )
    for workload in WORKLOADS:
        if costs := sheet.costs(workload):
            events = next(iter(costs["bare"].values()))["events"]
            yield f"\n| {workload}, {events:,} events | {' | '.join(HEADINGS)} |"
            yield "|---" * (1 + len(HEADINGS)) + "|"
            for name in costs:
                yield f"| {name} | {' | '.join(_row(sheet, workload, name))} |"


def _row(sheet: Sheet, workload: str, name: str) -> Iterator[str]:
    costs = list(sheet.costs(workload)[name].values())
    yield _spread(sheet.ratios(workload, name, "bare")) if name != "bare" else "1"
    yield _spread(sheet.ratios(workload, "durable", name)) if name != "durable" else ""
    yield f"{statistics.median(map(_cpu_us, costs)):.1f}"
    yield f"{statistics.median(cost['peak_pss_bytes'] for cost in costs) / MB:.0f}"
    yield f"{statistics.median(cost['startup_seconds'] for cost in costs):.1f}"
    yield _code(name)


def _cpu_us(cost: Cost) -> float:
    return float(cost["cpu_seconds"]) * 1e6 / int(cost["events"])


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _code(name: str) -> str:
    """Count; the durable path has settings instead."""
    if name == "durable":
        return "settings"
    return str(lines_of(CONTENDERS[name].module, "bare" if name == "bare" else ""))


def draw(sheet: Sheet, path: Path) -> None:
    """Write a PNG: a row for each workload, a panel for speed, processor time and memory."""
    there = [name for name in WORKLOADS if sheet.costs(name)]
    size = (12, 0.6 + 2.6 * len(there))
    figure, rows = plt.subplots(
        len(there), 3, figsize=size, constrained_layout=True, squeeze=False, sharey=True
    )
    for workload, (speed, cpu, memory) in zip(there, rows, strict=True):
        costs = sheet.costs(workload)
        runs = {name: list(rounds.values()) for name, rounds in costs.items()}
        _points(speed, {name: sheet.ratios(workload, name, "bare") for name in costs})
        _points(cpu, {name: list(map(_cpu_us, all_)) for name, all_ in runs.items()})
        _points(
            memory, {name: [c["peak_pss_bytes"] / MB for c in all_] for name, all_ in runs.items()}
        )
        speed.set_title(f"{workload}: speed, bare loop = 1", fontsize=10)
        cpu.set_title("processor time, µs an event", fontsize=10)
        memory.set_title("peak memory, MB", fontsize=10)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _points(axis: Any, runs: dict[str, list[float]]) -> None:
    """Draw medians with what they are, and lines from the lowest to the highest."""
    for at, (name, values) in enumerate(runs.items()):
        median = statistics.median(values)
        colour = "#1f77b4" if name == "durable" else "#606060"
        axis.plot([min(values), max(values)], [at, at], color=colour, lw=2, alpha=0.5)
        axis.plot([median], [at], "o", color=colour)
        label = f"{median:,.0f}" if median >= THOUSAND else f"{median:.3g}"
        axis.annotate(label, (median, at), (0, 7), textcoords="offset points", ha="center", size=8)
    axis.set_yticks(range(len(runs)), list(runs))
    axis.set_ylim(len(runs) - 0.5, -0.8)
    axis.set_xscale("log")
    axis.margins(x=0.1)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3, axis="x")


if __name__ == "__main__":
    start(table, EXAMPLE)
