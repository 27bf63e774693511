"""Rules of the house that a machine can read."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(p for room in ("ingest", "batching", "flows") for p in (ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_opens_with_the_sentence_that_tells_its_story(path: Path) -> None:
    story = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert story, "a module begins with a docstring"
    assert story.splitlines()[0].strip(), "the sentence stands in the first line"


def test_make_alone_lists_the_tasks() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for task in ("setup", "demo", "test", "check", "bench"):
        assert re.search(rf"^ *make {task} +\S", listed, re.MULTILINE), task


def test_every_task_of_make_says_what_it_is_for() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    told = set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE))
    assert set(phony.split()) == told


def test_a_batch_is_sealed_and_never_flushed() -> None:
    for path in MODULES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not re.search(r"flush\w* (a |the |of )?batch|batch\w* (is |are )?flush", line), (
                path
            )
