"""What is told of peers is what was measured."""

from pathlib import Path

import pytest

from benchmarks.peers.code import lines_of
from benchmarks.sheet import Sheet
from benchmarks.table import MARKS, markdown

SESSION = {"day": "2026-11-30", "machine": {"cores": 2}}


def cost(contender: str, run: int, seconds: float) -> dict[str, object]:
    return {"workload": "W1", "events": 9, "run": run, "contender": contender, "seconds": seconds}


@pytest.fixture
def sheet(tmp_path: Path) -> Sheet:
    sheet = Sheet(tmp_path / "sheet.jsonl")
    sheet.add(SESSION)
    sheet.add(cost("durable", 0, 2.0), cost("bytewax", 0, 1.0))
    sheet.add(cost("durable", 2, 4.0), cost("bytewax", 2, 8.0))
    return sheet


def test_a_file_goes_on_where_it_stopped(sheet: Sheet, tmp_path: Path) -> None:
    assert Sheet(tmp_path / "sheet.jsonl").left("W1", 9, 4) == [1, 3]
    assert sheet.left("W2", 9, 2) == [0, 1]
    with pytest.raises(SystemExit, match="take another file"):
        sheet.left("W1", 10, 4)


def test_ratios_are_those_of_one_round(sheet: Sheet) -> None:
    sheet.add(cost("durable", 1, 5.0))  # the other one has failed
    (figure,) = sheet.figures()
    assert figure == {
        "figure": "durable/bytewax",
        "workload": "W1",
        "median": 1.25,
        "spread": [0.5, 2.0],
        "runs": 2,
    }


def test_lines_are_counted_that_a_user_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.peers.code.ROOT", tmp_path)
    (tmp_path / "peer.py").write_text(
        '''"""What it is."""

import json
from benchmarks.reference import Cost

SIZE = 3  # counted
costs: list[Cost] = []


def step(
    value: int,
) -> str:
    """Say it."""
    costs.append(Cost())
    # why
    return json.dumps(
        value
    )


def main() -> None:
    step(1)


if __name__ == "__main__":
    main()
'''
    )
    assert lines_of("peer") == 1 + 1 + 3 + 3
    assert lines_of("peer", "step") == 3 + 3


def test_the_page_has_the_table_of_its_file() -> None:
    """`python -m benchmarks.table` with --page and --picture writes both anew."""
    explanation = Path(__file__).parents[2] / "docs" / "explanation"
    page, file = explanation / "performance.md", explanation / "peers.jsonl"
    assert (
        MARKS.search(page.read_text())[0].splitlines()[1:-1]
        == "\n".join(markdown(Sheet(file))).splitlines()
    )
    assert (explanation / "peers.png").exists()
