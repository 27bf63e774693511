"""The catalogue names lines that are there, once; with a guard taken out the suite fails."""

from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.run import ROOT, mutated, run

ODD = Mutant("odd", "nothing", "README.md", "no such line", "", ())


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_differs_from_what_is_there(mutant: Mutant) -> None:
    assert mutated(mutant) != (ROOT / mutant.file).read_text()
    assert all((ROOT / test).exists() for test in mutant.tests)


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_line_that_is_gone_is_told() -> None:
    with pytest.raises(LookupError, match="holds 'no such line' 0 times"):
        mutated(ODD)


def test_what_changes_nothing_is_noticed_by_nothing() -> None:
    harmless = Mutant(
        "harmless",
        "nothing",
        "batching/clock.py",
        '"""',
        '"""',
        ("tests/batching/test_horizon.py",),
    )
    with pytest.raises(LookupError):  # a line must stand there once
        run(harmless)
    text = (ROOT / harmless.file).read_text().splitlines()[0]
    verdict = run(harmless._replace(line=text, instead=text))
    assert not verdict.noticed
    assert "passed" in verdict.said
    assert not list(Path.cwd().glob("mutant-*"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_guard_taken_out_is_noticed(mutant: Mutant) -> None:
    verdict = run(mutant)
    assert verdict.noticed, f"no test needs it: {mutant.guard}\n{verdict.said}"
