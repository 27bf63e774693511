"""Another attempt at a run that was given up: asked for at any time, whoever is killed."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from batching import names
from batching.errors import StoreUnavailable, Transient
from batching.model import Attempt, RunPosition, dump
from batching.runs import retries, settling
from batching.runs.records import ASKED, REFUSED, RunLog
from batching.runs.reports import RunReport, RunStatus, list_runs, read_run
from batching.runs.retries import Answer, ask
from tests.batching.runs.dispatch_world import IDENTITY, World
from tests.batching.runs.test_dispatcher import SECOND_NS, Scheduler, dispatcher, job, step

JOB = "vibration"


def asked(world: World, *wanted: int, dry_run: bool = False) -> Answer:
    log = RunLog(world.store, IDENTITY.id, JOB)
    return asyncio.run(ask(log, IDENTITY, wanted, dry_run=dry_run))


def report(world: World, n: int) -> RunReport:
    found = asyncio.run(read_run(RunLog(world.store, IDENTITY.id, JOB), n))
    assert found is not None
    return found


def position(world: World) -> RunPosition:
    found = world.read(RunPosition, names.run_position(JOB))
    return RunPosition(0) if found is None else found


def fail_all(world: World) -> None:
    for name in world.cluster.running():
        world.cluster.fail(name)


def rounds(world: World, one: Any, times: int = 3) -> None:
    """Let it look at all there is, also at what it looks at now and then."""
    for _ in range(times):
        world.clock.now += 20 * SECOND_NS
        step(one)


@pytest.fixture
def world() -> World:
    """Record 1 was given up, 2 and 3 have results, and the position is beyond them."""
    made = World((job(attempts=1, at_most_batches=1),))
    one = dispatcher(made)
    for n in range(3):
        made.commit("0", JOB)
        step(one)
        if n == 0:
            fail_all(made)
        for name in made.cluster.running():
            made.cluster.succeed(name)
    rounds(made, one)
    assert position(made).settled == 4
    assert [report(made, n).status.value for n in (1, 2, 3)] == ["failed", "succeeded", "succeeded"]
    return made


def test_a_newcomer_makes_the_attempt_that_was_asked_for_and_lets_go_of_it_in_the_end(
    world: World,
) -> None:
    assert asked(world, 1) == Answer({1: 2})
    assert position(world) == RunPosition(4, {"1": 2})
    assert report(world, 1).status is RunStatus.WAITING
    one = dispatcher(world)
    rounds(world, one)
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1, 2]
    assert report(world, 1).status is RunStatus.RUNNING
    assert position(world) == RunPosition(4, {"1": 2})  # held as long as it goes on
    world.cluster.succeed(world.cluster.running()[0])
    rounds(world, one)
    assert position(world) == RunPosition(4)
    second = report(world, 1).attempts[1]
    assert (second.state, second.asked) == ("succeeded", True)
    assert asyncio.run(one.idle())


def test_a_dispatcher_that_has_passed_it_long_ago_notices(world: World) -> None:
    one = dispatcher(world)
    rounds(world, one)
    asked(world, 1)
    world.clock.now += settling.ASKED_NS
    step(one, 2)
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1, 2]
    assert not asyncio.run(dispatcher(world).idle())


def test_an_attempt_that_fails_again_has_an_end_that_every_restart_sees(world: World) -> None:
    for k in (2, 3):
        assert asked(world, 1) == Answer({1: k})
        one = dispatcher(world)
        rounds(world, one)
        fail_all(world)
        rounds(world, one)
        assert world.read(Attempt, names.failed(JOB, 1, k)) is not None
        assert report(world, 1).status is RunStatus.FAILED
        assert position(world) == RunPosition(4)
        rounds(world, dispatcher(world))
        assert [r.attempt for r in world.cluster.starts if r.n == 1] == [*range(1, k + 1)]
    assert [each.state for each in report(world, 1).attempts] == ["failed"] * 3
    assert report(world, 1).causes == ("failed",) * 3


def test_asked_for_again_before_the_last_answer_was_let_go_of(world: World) -> None:
    """A dispatcher knows that attempt 2 has ended, and reads that attempt 3 is asked for."""
    asked(world, 1)
    one = dispatcher(world)
    rounds(world, one)
    fail_all(world)
    world.chaos.fails.add("replace")
    with pytest.raises(StoreUnavailable):
        step(one)  # it would let go of it now
    world.chaos.fails.clear()
    assert report(world, 1).status is RunStatus.FAILED
    assert position(world).asked == {"1": 2}
    assert asked(world, 1) == Answer({1: 3})
    world.clock.now += settling.ASKED_NS
    rounds(world, one)
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1, 2, 3]


def test_an_end_that_an_older_headrace_wrote_counts(world: World) -> None:
    new, old = names.failed(JOB, 1, 1), f"runs/{JOB}/{names.number(1)}.failed.json"
    world.store.objects[old] = world.store.objects.pop(new)
    rounds(world, dispatcher(world))
    assert len(world.cluster.starts) == 3
    assert report(world, 1).status is RunStatus.FAILED
    assert asked(world, 1) == Answer({1: 2})
    rounds(world, dispatcher(world))
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1, 2]


def test_what_cannot_be_asked_for_says_why(world: World) -> None:
    world.commit("0", JOB)
    step(dispatcher(world))
    answer = asked(world, 0, 2, 4, 9)
    assert answer.refused == {
        0: "it has no batches, and starts nothing",
        2: "it has a result",
        4: "it goes on",
        9: "there is no such run",
    }
    assert position(world).asked == {}
    assert asked(world, 1, dry_run=True) == Answer({1: 2})
    assert position(world).asked == {}
    asked(world, 1)
    assert asked(world, 1) == Answer(before={1: 2})


def test_what_retention_takes_cannot_be_asked_for_and_is_refused_by_who_decides(
    world: World,
) -> None:
    asked(world, 1)
    world.say_trimmed("0", 1)  # by a janitor that had looked before
    one = dispatcher(world)
    rounds(world, one)
    (refused,) = world.decisions(JOB, 1)
    assert refused.cause == REFUSED
    assert len(world.cluster.starts) == 3
    assert position(world) == RunPosition(4)
    assert report(world, 1).status is RunStatus.FAILED
    assert report(world, 1).causes == ("failed", "refused")
    why = asked(world, 1).refused[1]
    assert why.startswith("its batches are gone: retention has taken manifests below 1 of part")


def test_only_what_a_run_covers_must_be_there(world: World) -> None:
    """Another partition that the record passes on without a manifest of its own holds nothing."""
    world.say_trimmed("0", 0)
    world.say_trimmed("1", 5)
    assert asked(world, 1) == Answer({1: 2})


def test_what_was_asked_for_takes_room_like_any_other_and_comes_first(world: World) -> None:
    one = dispatcher(world)
    for _ in range(60):
        world.commit("0", JOB)
    rounds(world, one, 60)
    assert world.in_flight(JOB) == 50
    asked(world, 1)
    rounds(world, one)
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1]
    world.cluster.succeed(world.cluster.running()[0])
    rounds(world, one)
    assert [r.attempt for r in world.cluster.starts if r.n == 1] == [1, 2]
    assert world.in_flight(JOB) == 50


def test_so_many_can_be_asked_for_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MOST_ASKED", 1)
    world.store.objects[names.run_position(JOB)] = dump(RunPosition(4, {"3": 7})), "v"
    assert "1 runs of the job are asked for already" in asked(world, 1).refused[1]


def test_two_that_ask_at_the_same_time_and_a_dispatcher_that_moves_the_position(
    world: World,
) -> None:
    """The position is replaced only if nobody else has: who loses looks again."""
    log = RunLog(world.store, IDENTITY.id, JOB)
    replace, others = world.store.replace, [1, 2]

    async def overtaken(name: str, body: bytes, version: str | None) -> str | None:
        if others:
            world.store.replace = replace  # type: ignore[method-assign]
            if others.pop() == 2:
                await ask(log, IDENTITY, [1], dry_run=False)
            else:
                rounded = dump(RunPosition(4))
                world.store.objects[names.run_position(JOB)] = rounded, "somebody"
            world.store.replace = overtaken  # type: ignore[method-assign]
        return await replace(name, body, version)

    world.store.replace = overtaken  # type: ignore[method-assign]
    assert asked(world, 1) == Answer(before={1: 2})
    world.store.objects[names.run_position(JOB)] = dump(RunPosition(4)), "v"
    assert asked(world, 1) == Answer({1: 2})


class Asking(Scheduler):
    """The same, with commands that ask for everything, and are killed like dispatchers."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.jobs = (replace(self.jobs[0], attempts=1), replace(self.jobs[1], attempts=1))
        self.world.jobs = self.jobs
        self.commands: list[Coroutine[Any, Any, Answer]] = []
        self.answers: list[tuple[str, dict[int, int]]] = []

    def play(self, steps: int) -> None:
        acts = [self.dispatch] * 30 + [self.command] * 10
        acts += [self.commit, self.flow, self.flow, self.flow, self.delete, self.kill]
        for _ in range(steps):
            self.world.clock.now += self.rnd.randrange(10**9)
            self.rnd.choice(acts)()

    def command(self) -> None:
        if not self.commands:
            self.commands.append(self.asking(self.rnd.choice("ab")))
        try:
            self.commands[0].send(None)
        except (StopIteration, Transient):
            self.commands.clear()
        if self.commands and self.rnd.random() < 0.005:
            self.commands.pop().close()

    async def asking(self, name: str) -> Answer:
        log = RunLog(self.world.store, IDENTITY.id, name)
        wanted = range(await log.end())
        answer = await ask(log, IDENTITY, wanted, dry_run=False)
        self.answers.append((name, answer.asked))
        return answer

    def calm_down(self) -> None:
        for command in self.commands:
            command.close()
        super().calm_down()

    def flow(self) -> None:
        """Runs fail often, so that many are given up."""
        if (running := self.world.cluster.running()) and self.rnd.random() < 0.4:
            self.world.cluster.fail(self.rnd.choice(running))
        super().flow()


@pytest.mark.parametrize("seeds", [range(at, at + 8) for at in range(0, 24, 8)], ids=str)
def test_what_was_asked_for_is_tried_whoever_is_killed(seeds: range) -> None:
    heard = tried = 0
    for seed in seeds:
        scheduler = Asking(seed)
        scheduler.play(3_000)
        scheduler.calm_down()
        world = scheduler.world
        for each in scheduler.jobs:
            for record in world.records(each.name):
                ended = world.result(each.name, record.n) or world.failed(each.name, record.n)
                assert bool(ended) == bool(record.batches), f"seed {seed}, record {record.n}"
                causes = [made.cause for made in world.decisions(each.name, record.n)]
                tried += causes.count(ASKED)
        for name, wanted in scheduler.answers:
            for n, k in wanted.items():
                begun = names.receipt(name, n, k) in world.store.objects
                assert begun or world.result(name, n), f"seed {seed}: {name}/{n} attempt {k}"
                heard += 1
        effects = [(name, n) for name, n, _ in world.cluster.effects]
        assert len(effects) == len(set(effects)), f"seed {seed}"
    assert tried >= heard > 3


def test_list_and_show_agree_on_what_is_asked_for(world: World) -> None:
    asked(world, 1)

    async def read() -> list[RunStatus]:
        return [r.status async for r in list_runs(world.store, IDENTITY.id, JOB)]

    assert asyncio.run(read())[1] is RunStatus.WAITING
