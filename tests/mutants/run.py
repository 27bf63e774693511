"""One mutant: a copy of the tree with one line changed, and the tests that must fail there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import Mutant

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("batching", "ingest", "flows", "tests")
PATIENCE_SECONDS = 240  # a guard may be what lets a loop end
END_SECONDS = 20
_FAILED = re.compile(r"^(?:FAILED|ERROR) \S*?::(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """Whether some test failed, which one first, and the last words where none did."""

    mutant: Mutant
    noticed: bool
    failed: str
    said: str


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """Give the file's text with the guard taken out.

    Raises:
        LookupError: the line is not there, or more than once: the catalogue is out of date.

    """
    text = (root / mutant.file).read_text()
    if text.count(mutant.line) != 1:
        raise LookupError(
            f"{mutant.name}: {mutant.file} holds {mutant.line!r} {text.count(mutant.line)} times"
        )
    return text.replace(mutant.line, mutant.instead)


def run(mutant: Mutant) -> Verdict:
    """Run the mutant's tests on a copy until one fails."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
        for room in ROOMS:
            shutil.copytree(ROOT / room, copy / room, ignore=ignore)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / mutant.file).write_text(mutated(mutant))
        try:
            code, said = _tested(mutant, copy)
        except subprocess.TimeoutExpired:
            return Verdict(mutant, noticed=True, failed="tests that never end", said="")
    return _verdict(mutant, code, said)


def _tested(mutant: Mutant, copy: Path) -> tuple[int, str]:
    """Run the tests; give pytest's exit code and what it said.

    Raises:
        TimeoutExpired: they did not end, and are ended.

    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests]
    with subprocess.Popen(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tests:
        try:
            said, _ = tests.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            tests.send_signal(signal.SIGINT)  # whoever is killed leaves a Valkey behind
            with suppress(subprocess.TimeoutExpired):
                tests.communicate(timeout=END_SECONDS)
            tests.kill()
            raise
    return tests.returncode, said


def _verdict(mutant: Mutant, code: int, said: str) -> Verdict:
    failed = _FAILED.search(said)
    # 1 is a test that failed; anything else is a mutant that cannot even be tested
    noticed = code == 1 and failed is not None
    name = failed[1].removeprefix("test_").replace("_", " ") if noticed and failed else ""
    return Verdict(mutant, noticed, name, "\n".join(said.splitlines()[-5:]))
