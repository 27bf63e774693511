"""Schedules by hand around retries: commands, dispatchers, and a janitor that looked before."""

from random import Random

import pytest

from tests.protocol.by_hand import Hand, Jobs, committed, janitor, run, world
from tests.protocol.objects import ASKED, REFUSED, Result
from tests.protocol.retrier import Retrier
from tests.protocol.scenarios import Scenario, name
from tests.protocol.world import Job

FIRST = 1  # the record behind the opening one


class Wants(Random):
    """Asks for everything."""

    def random(self) -> float:
        return 0.0


class Retries:
    """A job whose first run has failed for good, with later ones, all settled."""

    def __init__(self) -> None:
        self.world = world(9, max_events=1)
        job = Job("one", ("a",), 4, 1, 0.0, ordinary=False)
        self.world.jobs["one"] = self.world.every_job["one"] = job
        self.hand = Hand(self.world).attach()
        self.names, self.blob = self.hand.owner.names, self.world.blob
        self.jobs = self.dispatcher()
        for upto, state in ((1, "Failed"), (5, "Succeeded")):
            committed(self.hand, range(self.world.visible["0"] + 1, upto + 1))
            self.jobs.serve()
            self.end(state)
            self.jobs.serve()
        self.hand.maintain()

    def dispatcher(self) -> Jobs:
        made = Jobs(self.hand)
        made.job = self.world.jobs["one"]
        return made

    def end(self, state: str) -> None:
        """Let the runs that go on end."""
        for run_name, flow in self.world.cluster.flows.items():
            if flow.state == "Running":
                flow.state, flow.ended = state, self.world.now
                if state == "Succeeded":
                    result = Result(self.names.store, run_name)
                    self.blob.create(self.names.result("one", flow.n), result)

    def command(self) -> Retrier:
        made = Retrier(self.world)
        made.names, made.rnd = self.names, Wants()
        return made

    def ask(self) -> None:
        run(self.command().retry("one"))

    def decision(self, k: int = 2) -> object:
        return self.blob.get(self.names.attempt("one", FIRST, k))

    def asked(self) -> dict[int, int]:
        return dict(self.blob.get(self.names.run_position("one")).asked)

    def heard(self) -> None:
        """At the end nothing is asked for, and what was has been tried and has ended."""
        for _ in range(3):
            self.jobs.serve()
            self.end("Failed")
        truth = self.world.truth
        assert truth is not None
        truth.check_end()
        assert self.asked() == {}, "RETRY is not heard"


def asked_read() -> None:
    """A dispatcher that has read every record learns what was asked for since."""
    story = Retries()
    story.ask()
    assert story.asked() == {FIRST: 2}
    story.jobs.serve()
    assert story.decision() == ASKED, "RETRY is not heard"
    story.heard()


def own_end() -> None:
    """An attempt that was asked for fails, and so does the one that is asked for then."""
    story = Retries()
    for k in (2, 3):
        story.ask()
        story.jobs.serve()
        assert story.blob.get(story.names.receipt("one", FIRST, k)), "RETRY did not start"
        story.end("Failed")
        story.jobs.serve()
        assert story.blob.get(story.names.failed("one", FIRST, k))
    story.heard()


def asked_stays() -> None:
    """A dispatcher knows that the record has ended, and then reads what is asked for."""
    story = Retries()
    story.ask()
    run(story.jobs.dispatcher.runs["one"].settle())  # it moves nothing
    committed(story.hand, range(6, 8))
    story.dispatcher().serve()
    story.heard()


def asked_held() -> None:
    """The janitor comes while the attempt that was asked for goes on."""
    story = Retries()
    story.ask()
    story.jobs.serve()
    run(janitor(story.hand).tidy())
    assert story.decision() == ASKED
    story.heard()


def asked_looks() -> None:
    """The janitor had looked before it was asked, and deletes before anybody decides."""
    story = Retries()
    deleting = run(janitor(story.hand).tidy(), stop_before="delete")
    story.ask()
    run(deleting)
    story.jobs.serve()
    assert story.decision() == REFUSED
    story.heard()


def refusal_decides() -> None:
    """One dispatcher saw that all is there and sleeps; another sees that it may go."""
    story = Retries()
    saying = run(janitor(story.hand).tidy(), stop_before="replace")
    story.ask()
    asleep = run(story.jobs.dispatcher.serve(story.jobs.job), stop_before="create")
    run(saying)  # and then it sees what is asked for, and deletes nothing
    story.dispatcher().serve()
    assert story.asked() == {}
    run(janitor(story.hand).tidy())
    run(asleep)
    story.heard()


def replace_settled() -> None:
    """A dispatcher read the position, and writes it after it was asked for something."""
    story = Retries()
    committed(story.hand, range(6, 7))
    story.jobs.serve()
    story.end("Succeeded")
    settling = run(story.jobs.dispatcher.serve(story.jobs.job), stop_before="replace")
    story.ask()
    run(settling)
    assert story.asked() == {FIRST: 2}, "RETRY is not heard"
    story.heard()


SCENARIOS = [
    Scenario(("asked read",), asked_read),
    Scenario(("own end",), own_end),
    Scenario(("asked stays",), asked_stays),
    Scenario(("asked held",), asked_held),
    Scenario(("asked looks",), asked_looks),
    Scenario(("refusal decides",), refusal_decides),
    Scenario(("replace settled",), replace_settled),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_a_schedule_holds_with_its_guard_and_breaks_without(scenario: Scenario) -> None:
    scenario.check()
