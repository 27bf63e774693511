"""Figures: the median of all runs and their spread, as JSON lines and as a table for people."""

import json
import os
import platform
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

LIBRARIES = ("azure-eventhub", "redis", "hiredis", "pyarrow", "numpy", "msgspec")


@dataclass(slots=True)
class Figure:
    """One thing that was measured, once a run."""

    name: str
    unit: str
    runs: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of all runs."""
        return statistics.median(self.runs)

    def line(self) -> str:
        """Spell it as one JSON object."""
        return json.dumps(
            {
                "figure": self.name,
                "unit": self.unit,
                "median": _short(self.median),
                "low": _short(min(self.runs)),
                "high": _short(max(self.runs)),
                "runs": [_short(value) for value in self.runs],
            }
        )


class Figures:
    """All figures of one call, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._figures: dict[str, Figure] = {}
        self._machine = machine()

    def add(self, name: str, unit: str, value: float) -> None:
        """Add what one run measured."""
        self._figures.setdefault(name, Figure(name, unit)).runs.append(value)

    def runs(self, name: str) -> list[float]:
        """Give what each run measured."""
        return self._figures[name].runs

    def show(self, title: str) -> None:
        """Print a JSON line for each figure on standard output, then a table on standard error."""
        print(json.dumps(self._machine))
        for figure in self._figures.values():
            print(figure.line())
        Console(stderr=True, highlight=False).print(_table(title, self._figures.values()))


def _table(title: str, figures: Iterable[Figure]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim")
    table.add_column("figure")
    for heading in ("median", "low", "high"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    for figure in figures:
        values = (figure.median, min(figure.runs), max(figure.runs))
        table.add_row(figure.name, *(f"{_short(value):,}" for value in values), figure.unit)
    return table


def machine() -> dict[str, Any]:
    """Say on what is measured, and how busy it was in the minute before."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in LIBRARIES},
    }


def _short(value: float) -> float | int:
    """Keep three digits that mean something."""
    if abs(value) >= 100:  # noqa: PLR2004
        return round(value)
    return float(f"{value:.3g}")
