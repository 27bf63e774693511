"""Every registered failpoint stands in the code once, and no other does."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from batching.failpoints import POINTS

ROOT = Path(__file__).parents[2]
CALLS = {"reached", "reached_in_flow"}


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for room in ("ingest", "batching", "flows"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", None) in CALLS:
                    yield path, node


def test_every_failpoint_stands_in_the_code_exactly_once() -> None:
    found: Counter[str] = Counter()
    for path, call in calls():
        name = call.args[0]
        assert isinstance(name, ast.Constant), f"{path}: a failpoint's name is spelled out"
        found[name.value] += 1
    assert found == Counter(POINTS.keys())


def test_every_failpoint_says_what_is_left_behind() -> None:
    for name, sentence in POINTS.items():
        assert sentence.endswith("."), name
        assert len(sentence) < 90, name


def test_no_failpoint_is_passed_once_an_event() -> None:
    """The loop that takes events, sensors' groups and chunks apart has none in it."""
    for path, call in calls():
        if path.name in ("classify.py", "chunk.py", "bundle.py", "states.py", "policy.py"):
            raise AssertionError(f"{path}:{call.lineno}: too often")
