"""Where the durable path spends its time, function by function: a flame graph of each workload.

py-spy looks at the process a few hundred times a second; it is installed once, outside of the
clone, as peers are. Start-up and what waits are left out, so the width is time of the processor
in Python, of all threads; Valkey is a process of its own.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.contenders import ROOT
from benchmarks.limits.command import Place, Quick, start
from benchmarks.peers.environment import python_of
from benchmarks.workloads import WORKLOADS, Workload

LOOKS_A_SECOND = 250
QUICK_SHARE = 0.1  # with less there is nothing to be seen
LINE = re.compile(r":\d+\)$")
LOOPS = ("_run (asyncio/events.py)", "run (concurrent/futures/thread.py)")  # below them is work
WIDTH, ROW, LETTER = 1200, 17, 6.7  # pixels
SMALLEST = 0.004  # part of the whole that is drawn
COLOURS = {"batching/": "#e8a05c", "benchmarks/": "#c9c9c9", "redis/": "#d98880"}
OTHER = "#9db8d2"
EXAMPLE = """
Examples:

  python -m benchmarks.limits.flames docs/explanation   flames-W1.svg and flames-W2.svg there

  python -m benchmarks.limits.flames . --share 1        whole workloads
"""


def flames(
    out: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="For the pictures.")],
    *,
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="How much of a workload.")] = 0.2,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Draw where the durable path spends its time."""
    for workload in WORKLOADS.values():
        events = int((QUICK_SHARE if quick else share) * workload.full_events)
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            tree = _tree(_stacks(_looked(Path(place), workload, events)))
        title = f"durable path, {events:,} events of {workload.name}: {tree.looks:,} looks"
        path = out / f"flames-{workload.name}.svg"
        path.write_text("\n".join(_svg(tree, title)) + "\n")
        print(f"{path}: {title}", file=sys.stderr)


def _looked(folder: Path, workload: Workload, events: int) -> str:
    """Let py-spy look; give stacks and how often each was seen."""
    source, raw = folder / "events", folder / "raw"
    workload.write(source, events)
    (folder / "out").mkdir()
    spy = [str(python_of("py_spy").with_name("py-spy")), "record", "--format", "raw", "--function"]
    spy += ["--rate", str(LOOKS_A_SECOND), "--output", str(raw), "--"]
    command = [sys.executable, "-m", "benchmarks.durable", "--events", str(source)]
    command += ["--out", str(folder / "out"), "--threshold", str(workload.threshold)]
    subprocess.run([*spy, *command], cwd=ROOT, check=True, capture_output=True)
    return raw.read_text()


def _stacks(raw: str) -> Iterator[tuple[list[str], int]]:
    """Give what lies under the event loop or a thread's; what does not is start-up."""
    for line in raw.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [LINE.sub(")", name) for name in frames.split(";")]
        places = [place for place, name in enumerate(names) if name in LOOPS]
        if places and places[-1] + 1 < len(names):
            yield names[places[-1] + 1 :], int(count)


@dataclass(slots=True)
class Node:
    """A function, under those that called it."""

    looks: int = 0
    below: "dict[str, Node]" = field(default_factory=dict)


def _tree(stacks: Iterator[tuple[list[str], int]]) -> Node:
    root = Node()
    for names, count in stacks:
        node = root
        node.looks += count
        for name in names:
            node = node.below.setdefault(name, Node())
            node.looks += count
    return root


def _svg(tree: Node, title: str) -> Iterator[str]:
    """Draw rows of callers above those that they call, the widest first."""
    boxes = list(_boxes(tree, 0, 0.0, max(1, tree.looks)))
    height = ROW * (2 + max((row for _, row, _, _ in boxes), default=0) + 1)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="11">'
    )
    yield f'<rect width="100%" height="100%" fill="#fff"/><text x="4" y="13">{escape(title)}</text>'
    for name, row, begin, part in boxes:
        x, y, width = begin * WIDTH, ROW * (row + 1), part * WIDTH
        colour = next((c for room, c in COLOURS.items() if f"({room}" in name), OTHER)
        letters = int((width - 4) / LETTER)
        text = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 3 else ""  # noqa: PLR2004
        yield (
            f'<g><title>{escape(name)} {part:.1%}</title><rect x="{x:.1f}" y="{y}" '
            f'width="{width:.1f}" height="{ROW - 1}" fill="{colour}"/>'
            f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(text)}</text></g>'
        )
    yield "</svg>"


def _boxes(
    node: Node, row: int, begin: float, all_: int
) -> Iterator[tuple[str, int, float, float]]:
    """Give name, row, begin and width of each function, as parts of the whole."""
    for name, below in sorted(node.below.items(), key=lambda pair: -pair[1].looks):
        part = below.looks / all_
        if part >= SMALLEST:
            yield name, row, begin, part
            yield from _boxes(below, row + 1, begin, all_)
        begin += part


if __name__ == "__main__":
    start(flames, EXAMPLE)
