"""The models hold in every interleaving of their small cases, and miss each guard they claim."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.protocol.model_cases import CASES, MUTANTS, UNMISSED, Case, Mutant
from tests.protocol.model_check import (
    Checker,
    guards,
    main,
    outcome,
    tools_are_missing,
)

NAMES = {case.name: case for case in CASES}
SMALL = [case for case in CASES if case.small]
COMPLETE = """
State-vector 132 byte, depth reached 52, errors: 0
     8051 states, stored
    18346 transitions (= stored+matched)
   78.851\ttotal actual memory usage
"""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    if missing := tools_are_missing():
        pytest.skip(missing)
    return Checker(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_no_interleaving_breaks_the_promise(checker: Checker, case: Case) -> None:
    found = checker.run(case)
    assert found.clean, found
    assert found.states > 1000


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    "mutant",
    [x for x in MUTANTS if NAMES[x.case].small],
    ids=lambda mutant: ",".join(mutant.guards),
)
def test_a_guard_is_missed_when_it_is_removed(checker: Checker, mutant: Mutant) -> None:
    assert checker.run(NAMES[mutant.case], mutant.guards).violated


@pytest.mark.slow
@pytest.mark.long
def test_a_counterexample_is_told_call_by_call(checker: Checker) -> None:
    case = NAMES["two owners"]
    assert checker.run(case, ["ack last"], told=True).violated
    story = checker.story(case, ["ack last"])
    assert story.index("D7 ACK") < story.index("E4 replace position")


@pytest.mark.parametrize("model", ["owner", "dispatch", "redrive"])
def test_every_guard_of_a_model_is_missed_or_named_as_not_missed(model: str) -> None:
    missed = {name for x in MUTANTS if NAMES[x.case].model == model for name in x.guards}
    assert missed | set(UNMISSED[model]) == set(guards(model))


def test_a_complete_search_is_clean() -> None:
    found = outcome(COMPLETE, 0.1)
    assert (found.states, found.transitions, found.depth) == (8051, 18346, 52)
    assert found.clean


@pytest.mark.parametrize(
    ("text", "violated", "cut"),
    [
        ("pan:1: assertion violated  !(b&batched) (at depth 18)\n" + COMPLETE, "assertion", ""),
        ("error: max search depth too small\n" + COMPLETE, "", "max search depth"),
        ("pan: reached -DMEMLIM bound\n" + COMPLETE, "", "MEMLIM"),
        ("Depth= 102 States= 1e+06", "", "stopped"),
        ("", "", "stopped"),
    ],
)
def test_a_search_that_did_not_end_well_is_not_clean(text: str, violated: str, cut: str) -> None:
    found = outcome(text, 0.1)
    assert not found.clean
    assert violated in found.violated
    assert cut in found.cut


def test_a_case_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--case", "no such case"])
    assert "there are: two owners; three events" in capsys.readouterr().err


def test_missing_tools_say_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["--case", "two owners"])
    assert "apt-get install spin gcc" in capsys.readouterr().err
