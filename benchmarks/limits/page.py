"""The tables and pictures of all programs, from the file that they wrote."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import matplotlib as mpl
import typer

mpl.use("Agg")  # no screen

from matplotlib import pyplot as plt

from benchmarks.limits.command import start
from benchmarks.limits.record import Line, Session, read

MARKS = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
GROWN = {
    "sensors": "open sensors",
    "partitions": "partitions of one process",
    "bytes": "bytes of a chunk",
    "depth": "events in each open buffer, append",
    "depth_commit": "events in each open buffer, commit",
}
COLOURS = {"wall": "#606060", "cpu": "#1f77b4", "valkey": "#d62728"}
SEVERAL = 2
EXAMPLE = """
Examples:

  python -m benchmarks.limits.page limits.jsonl         the tables, for a terminal

  python -m benchmarks.limits.page docs/explanation/limits.jsonl \\
      --page docs/explanation/limits.md --picture docs/explanation/growth.png
"""


class Goal(NamedTuple):
    """The most that a figure may be."""

    program: str
    figure: str
    most: float
    about: str


GOALS = (
    Goal("memory", "whole_W1.peak", 200, "memory of all processes, W1"),
    Goal("memory", "whole_W2.peak", 200, "memory of all processes, W2"),
    Goal("memory", "open_sensor.redis", 300, "an open sensor in Redis, beyond its data"),
    Goal("memory", "idle_sensor.keys", 0, "keys of an idle sensor in Redis"),
    Goal("memory", "idle_sensor.redis", 0, "an idle sensor in Redis"),
    Goal("memory", "idle_sensor.objects", 0, "objects of an idle sensor in the owner"),
    Goal("latency", "append_call_W1.p99", 10, "append at half load, W1, 99 of 100"),
    Goal("latency", "append_call_W2.p99", 10, "append at half load, W2, 99 of 100"),
    Goal("latency", "append_event_W1.p99", 10, "the same since the event came, W1"),
    Goal("latency", "append_event_W2.p99", 10, "the same since the event came, W2"),
    Goal("latency", "append_gathered_W1.p99", 10, "append of what came in 20 ms, W1"),
    Goal("latency", "append_gathered_W2.p99", 10, "append of what came in 20 ms, W2"),
    Goal("latency", "trigger_to_manifest_W1.p99", 250, "trigger to manifest, W1, 99 of 100"),
    Goal("latency", "trigger_to_manifest_W2.p99", 250, "trigger to manifest, W2, 99 of 100"),
    Goal(
        "latency",
        "trigger_to_manifest_at_once_W1.p99",
        250,
        "the same, each event appended at once, W1",
    ),
    Goal(
        "latency",
        "trigger_to_manifest_at_once_W2.p99",
        250,
        "the same, each event appended at once, W2",
    ),
    Goal("latency", "manifest_to_run.p99", 500, "manifest to process of a run, 99 of 100"),
    Goal("argo", "manifest_to_workflow.p99", 500, "manifest to Workflow of Argo, 99 of 100"),
    Goal("startup", "owner.took", 1, "start to first event kept, without the SDK"),
    Goal("startup", "service.took", 1, "start to first event kept, the service"),
    Goal("startup", "help.took", 0.3, "`headrace --help`"),
)


def page(
    file: Annotated[Path, typer.Argument(exists=True, help="What `benchmarks.limits` wrote.")],
    *,
    page: Annotated[Path | None, typer.Option(help="A page with the marks of tables.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Where to draw growth, a PNG.")] = None,
) -> None:
    """Write tables and picture."""
    sessions = read(file)
    if page is None:
        for name in ("goals", *sessions):
            print(f"\n{name}\n")
            print("\n".join(table(sessions, name)))
    else:
        page.write_text(filled(page.read_text(), sessions))
    if picture is not None and "growth" in sessions:
        draw(sessions["growth"], picture)


def filled(text: str, sessions: dict[str, Session]) -> str:
    """Put each table between its marks; what was not measured stays."""

    def put(found: re.Match[str]) -> str:
        name = found[2]
        if name != "goals" and name not in sessions:
            return found[0]
        lines = "\n".join(table(sessions, name))
        return f"{found[1]}{lines}\n{found[3]}"

    return MARKS.sub(put, text)


def table(sessions: dict[str, Session], name: str) -> Iterator[str]:
    """Give the lines of one program's table, or of the goals."""
    if name == "goals":
        yield from _goals(sessions)
        return
    session = sessions[name]
    yield f"{_about(session)}\n"
    columns = session.columns()
    headings = [_heading(session, column) for column in columns]
    yield f"| | {' | '.join(headings)} |"
    yield "|---" * (1 + len(columns)) + "|"
    for row, lines in session.rows():
        cells = (_cell(lines[column]) if column in lines else "" for column in columns)
        yield f"| {row.replace('_', ' ')} | {' | '.join(cells)} |"


def _about(session: Session) -> str:
    about = session.machine
    runs = max(len(line["runs"]) for line in session.figures)
    spread = f"medians of {runs}, lowest and highest in brackets" if runs > 1 else "one run"
    return (
        f"`{session.command}`, {session.day}, Python {about['python']}, {about['cores']} cores, "
        f"load before {about['load']}; {spread}."
    )


def _heading(session: Session, column: str) -> str:
    """Name a column with its unit, where all its figures have the same."""
    units = {line["unit"] for line in session.figures if line["figure"].endswith(f".{column}")}
    unit = f", {units.pop()}" if len(units) == 1 else ""
    return f"{column.replace('_', ' ')}{unit.replace('us/', 'µs/')}"


def _cell(line: Line) -> str:
    if len(line["runs"]) < SEVERAL:
        return f"{line['median']:,}"
    return f"{line['median']:,} ({line['low']:,} to {line['high']:,})"


def _goals(sessions: dict[str, Session]) -> Iterator[str]:
    yield "| at most | goal | measured | |"
    yield "|---|---|---|---|"
    for goal in GOALS:
        line = goal.program in sessions and sessions[goal.program].figure(goal.figure)
        if not line:
            continue
        unit = str(line["unit"]).removesuffix("/sensor")
        met = "met" if _rounded(line["median"]) <= goal.most else "missed"
        yield f"| {goal.about} | {goal.most:g} {unit} | {_cell(line)} {unit} | {met} |"


def _rounded(value: float) -> float:
    """Take less than half of a byte or an object for none; times are compared as they are."""
    return 0.0 if abs(value) < 0.5 else value  # noqa: PLR2004


def draw(session: Session, path: Path) -> None:
    """Write a PNG: what an event costs as something grows, a panel each."""
    figure, axes = plt.subplots(1, len(GROWN), figsize=(16, 3.6), constrained_layout=True)
    for axis, (kind, about) in zip(axes, GROWN.items(), strict=True):
        for what, colour in COLOURS.items():
            _line(axis, session, kind, what, colour)
        if kind.startswith("depth"):
            axis.set_xscale("symlog")  # it begins with none
        else:
            axis.set_xscale("log", base=2 if kind == "partitions" else 10)
        if kind == "bytes":
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_title(about, fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("µs an event")
    axes[0].legend(fontsize=9)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _line(axis: Any, session: Session, kind: str, what: str, colour: str) -> None:
    """Draw medians over sizes, and the spread of their runs."""
    found = [
        (int(row.rpartition(".")[2]), lines[what])
        for row, lines in session.rows()
        if row.rpartition(".")[0] == kind
    ]
    sizes = [size for size, _ in found]
    axis.plot(sizes, [line["median"] for _, line in found], "o-", ms=4, color=colour, label=what)
    lows, highs = ([line[end] for _, line in found] for end in ("low", "high"))
    axis.fill_between(sizes, lows, highs, color=colour, alpha=0.2)


if __name__ == "__main__":
    start(page, EXAMPLE)
