"""A file of what was measured: a line for each session, and one for each contender and round."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Cost
from benchmarks.workloads import WORKLOADS


class Sheet:
    """Its lines, which only become more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        self._lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def add(self, *lines: dict[str, Any]) -> None:
        """Add lines of what was measured together."""
        self._lines += lines
        with self._path.open("a") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def sessions(self) -> list[dict[str, Any]]:
        """Give on what was measured, and with which versions."""
        return [line for line in self._lines if "machine" in line]

    def costs(self, workload: str) -> dict[str, dict[int, Cost]]:
        """Give what each contender has cost in each round."""
        found: dict[str, dict[int, Cost]] = {}
        for line in self._lines:
            if line.get("workload") == workload:
                found.setdefault(line["contender"], {})[line["run"]] = line
        return {name: found[name] for name in CONTENDERS if name in found}

    def left(self, workload: str, events: int, runs: int) -> list[int]:
        """Give the rounds that are not there yet."""
        there = [line for line in self._lines if line.get("workload") == workload]
        if sizes := {line["events"] for line in there} - {events}:
            raise SystemExit(f"{self._path} has runs of {sizes} events: take another file")
        return sorted(set(range(runs)) - {line["run"] for line in there})

    def ratios(self, workload: str, name: str, other: str) -> list[float]:
        """Give how many times as fast as the other one a contender was, in each round."""
        costs = self.costs(workload)
        return [
            costs[other][run]["seconds"] / cost["seconds"]
            for run, cost in costs[name].items()
            if run in costs[other]
        ]

    def figures(self) -> Iterator[dict[str, Any]]:
        """Hold the durable path against each of the others."""
        for workload in WORKLOADS:
            for other in self.costs(workload):
                if other != "durable":
                    ratios = self.ratios(workload, "durable", other)
                    yield figure(f"durable/{other}", workload, ratios)


def figure(name: str, workload: str, ratios: list[float]) -> dict[str, Any]:
    """Give the median of all runs, and the lowest and highest; above 1 is faster."""
    return {
        "figure": name,
        "workload": workload,
        "median": round(statistics.median(ratios), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "runs": len(ratios),
    }
