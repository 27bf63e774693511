"""A file of what the programs have measured: a JSON line for the last call of each."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """One call of a program: where, when, and its figures in their order."""

    program: str
    command: str
    day: str
    machine: Line
    figures: list[Line]

    def figure(self, name: str) -> Line | None:
        """Give a figure by its name."""
        return next((line for line in self.figures if line["figure"] == name), None)

    def columns(self) -> list[str]:
        """Name the columns: what stands behind the last dot of each figure's name."""
        return list(dict.fromkeys(_split(line)[1] for line in self.figures))

    def rows(self) -> Iterator[tuple[str, dict[str, Line]]]:
        """Give each row with its figures by column."""
        found: dict[str, dict[str, Line]] = {}
        for line in self.figures:
            row, column = _split(line)
            found.setdefault(row, {})[column] = line
        yield from found.items()


def _split(line: Line) -> tuple[str, str]:
    row, _, column = str(line["figure"]).rpartition(".")
    return row, column


def read(path: Path) -> dict[str, Session]:
    """Give each program's call."""
    lines = map(json.loads, path.read_text().splitlines())
    return {line["program"]: Session(**line) for line in lines}


def add(path: Path, program: str, command: str, day: str, said: Iterable[str]) -> None:
    """Keep what a program has printed, a line about the machine, then figures, as its last call."""
    machine, *figures = (json.loads(line) for line in said)
    about = {"program": program, "command": command, "day": day}
    lines = path.read_text().splitlines() if path.exists() else []
    others = [line for line in lines if json.loads(line)["program"] != program]
    line = json.dumps({**about, "machine": machine, "figures": figures})
    path.write_text("".join(f"{each}\n" for each in [*others, line]))
