"""What is told of limits is what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks.limits import record
from benchmarks.limits.page import MARKS, filled, table

EXPLANATION = Path(__file__).parents[2] / "docs" / "explanation"


def figure(name: str, unit: str, *runs: float) -> str:
    low, *_, high = sorted(runs) if len(runs) > 1 else (*runs, *runs)
    line = {"figure": name, "unit": unit, "median": sorted(runs)[len(runs) // 2]}
    return json.dumps({**line, "low": low, "high": high, "runs": runs})


MACHINE = json.dumps({"python": "3.11", "cores": 2, "load": 0.5})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.jsonl"
    old = [MACHINE, figure("whole_W1.peak", "MB", 7)]
    new = [
        MACHINE,
        figure("open_sensor.redis", "B/sensor", 301, 299, 300),
        figure("open_sensor.data", "B/sensor", 152, 152, 152),
        figure("idle_sensor.redis", "B/sensor", 0.4, 3, -2),
        figure("whole_W1.peak", "MB", 201, 210, 190),
    ]
    record.add(path, "memory", "python -m old", "2026-11-29", old)
    record.add(path, "memory", "python -m new", "2026-11-30", new)
    return path


def test_the_last_call_of_a_program_counts(file: Path) -> None:
    session = record.read(file)["memory"]
    assert session.command == "python -m new"
    assert session.columns() == ["redis", "data", "peak"]


def test_a_table_has_a_row_and_a_column_for_each_part_of_a_name(file: Path) -> None:
    about, _, *lines = "\n".join(table(record.read(file), "memory")).splitlines()
    assert about.startswith("`python -m new`, 2026-11-30, ")
    assert lines == [
        "| | redis, B/sensor | data, B/sensor | peak, MB |",
        "|---|---|---|---|",
        "| open sensor | 300 (299 to 301) | 152 (152 to 152) |  |",
        "| idle sensor | 0.4 (-2 to 3) |  |  |",
        "| whole W1 |  |  | 201 (190 to 210) |",
    ]


def test_a_goal_is_met_up_to_its_bound(file: Path) -> None:
    lines = "\n".join(table(record.read(file), "goals")).splitlines()[2:]
    assert [(line.split(" | ")[1], line.split(" | ")[-1]) for line in lines] == [
        ("200 MB", "missed |"),
        ("300 B", "met |"),
        ("0 B", "met |"),
    ]


def test_what_was_not_measured_stays_on_the_page(file: Path) -> None:
    text = (
        "<!-- puts -->\nold\n<!-- end of puts -->\n<!-- memory -->\nold\n<!-- end of memory -->\n"
    )
    puts, memory = filled(text, record.read(file)).split("<!-- end of puts -->")
    assert puts == "<!-- puts -->\nold\n"
    assert "| whole W1 |" in memory
    assert "old" not in memory.replace("python -m old", "")


def test_the_page_has_the_tables_of_its_file() -> None:
    """`python -m benchmarks.limits.page` with --page and --picture writes all of them anew."""
    page, sessions = EXPLANATION / "limits.md", record.read(EXPLANATION / "limits.jsonl")
    text = page.read_text()
    assert {found[2] for found in MARKS.finditer(text)} == {"goals", *sessions}
    assert filled(text, sessions) == text
    assert (EXPLANATION / "growth.png").exists()
