"""The driver itself: cases that repeat, tables that tell, guards whose absence is found out."""

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from batching.failpoints import arm
from tests.crash.__main__ import RUNS, main
from tests.crash.cases import HERE, PLAIN, TURNS, Case, Spec, case, cases
from tests.crash.mutants import MUTANTS
from tests.crash.place import opened
from tests.crash.story import Outcome, Story
from tests.crash.table import failures, never_reached, table

KILLED = Case(
    seed=0,
    number=0,
    world=PLAIN,
    specs=(Spec("manifest.before", "kill"),),
    redis="kept",
    partitions=1,
    waves=(14, 9, 12, 10),
    ends_by="drain",
    by_exec=False,
    hurried=False,
)
# each with the moment at which its guard is needed
NEEDED = {
    "ack_first": KILLED,
    "marks_unread": replace(KILLED, specs=(Spec("take", "kill"),)),
    "checkpoint_ahead": replace(KILLED, specs=(Spec("checkpoint.after", "kill"),), redis="emptied"),
}


pytestmark = pytest.mark.usefixtures("nothing_armed_afterwards")


def test_a_seed_and_a_number_give_the_same_case_again() -> None:
    chosen = list(itertools.islice(cases(3), 150))
    assert [case(3, number) for number in (0, 77, 149)] == [chosen[n] for n in (0, 77, 149)]
    assert [each.number for each in chosen] == list(range(150))
    assert chosen != list(itertools.islice(cases(4), 150))


def test_every_case_can_be_switched_on_as_it_says() -> None:
    for each in itertools.islice(cases(1), 1_000):
        for spec in each.specs:
            arm(str(spec))


def test_the_usual_run_has_every_failpoint_by_itself_and_in_a_pair() -> None:
    chosen = list(itertools.islice(cases(1), RUNS))
    assert {each.specs[0].name for each in chosen if len(each.specs) == 1} == set(HERE)
    assert {each.specs[0].name for each in chosen if len(each.specs) == 2} == set(HERE)


def test_every_action_has_its_turn() -> None:
    found = {spec.action for each in itertools.islice(cases(1), RUNS) for spec in each.specs}
    assert found == set(TURNS) - {"pair"}


def test_a_failure_fails_the_run_and_prints_the_command_that_repeats_it() -> None:
    good = Outcome(KILLED, reached={"manifest.before": "kill"})
    bad = Outcome(case(5, 12), twice=2, last_words="one.log: no room left")
    assert list(failures([good])) == []
    (told,) = failures([good, bad])
    assert "0 missing, 2 twice" in told
    assert "python -m tests.crash --seed 5 --case 12" in told
    assert "no room left" in told
    page = table([good, bad])
    assert page.count("\n") == len(HERE) + 3
    assert "| `manifest.before` | 1 | 1 |" in page
    missed = never_reached([good, bad])
    assert "manifest.before" not in missed
    assert len(missed) == len(HERE) - 1


def test_a_wrong_number_of_runs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--runs", "0"])
    assert "--runs and --jobs are 1 or more" in capsys.readouterr().err


def play(folder: Path, *stories: tuple[Case, str]) -> list[Outcome]:
    async def run() -> list[Outcome]:
        hubs = [(f"hub{n}", each.partitions) for n, (each, _) in enumerate(stories)]
        async with opened(folder, hubs) as place:
            made = (
                Story(each, place, hub, mutant)
                for (each, mutant), (hub, _) in zip(stories, hubs, strict=True)
            )
            return list(await asyncio.gather(*(story.play() for story in made)))

    return asyncio.run(run())


def test_a_service_killed_before_its_manifest_loses_and_doubles_nothing(tmp_path: Path) -> None:
    by_exec = replace(KILLED, by_exec=True, ends_by="kill")
    for outcome in play(tmp_path, (KILLED, ""), (by_exec, "")):
        assert not outcome.failed, outcome
        assert outcome.reached == {"manifest.before": "kill"}
        assert outcome.recovered_seconds is not None


def test_a_guard_that_is_taken_away_is_found_out(tmp_path: Path) -> None:
    assert NEEDED.keys() == MUTANTS.keys()
    found = play(tmp_path, *((each, mutant) for mutant, each in NEEDED.items()))
    outcomes = dict(zip(NEEDED, found, strict=True))
    assert outcomes["ack_first"].missing, outcomes["ack_first"]
    assert outcomes["marks_unread"].twice, outcomes["marks_unread"]
    assert outcomes["checkpoint_ahead"].missing, outcomes["checkpoint_ahead"]
