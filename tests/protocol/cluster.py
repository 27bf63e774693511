"""The launcher's side: Workflows by name, deleted a while after they end, and their flows."""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.protocol.objects import Names, Result

if TYPE_CHECKING:
    from tests.protocol.world import Job, World

TTL = 60
LAST_STEP = 3


@dataclass
class Flow:
    """A running flow: it asks for the result first and creates it last."""

    names: Names
    job: "Job"
    n: int
    state: str = "Running"
    at: int = 0
    ended: int = 0


class Cluster:
    """Starts nothing twice under one name, and forgets names of what ended long ago."""

    def __init__(self, world: "World") -> None:
        self.world, self.flows = world, dict[str, Flow]()

    def start(self, name: str, names: Names, job: "Job", n: int) -> bool:
        if name in self.flows:
            return False
        self.world.stat["workflows"] += 1
        self.flows[name] = Flow(names, job, n)
        return True

    def state(self, name: str) -> str | None:
        return self.flows[name].state if name in self.flows else None

    def stop_all(self) -> None:
        for flow in self.flows.values():
            if flow.state == "Running":
                flow.state, flow.ended = "Failed", self.world.now

    def step(self, rnd: Random) -> None:
        """One step of one running flow; steps are repeated when their answer is lost."""
        now, running = self.world.now, list[str]()
        for name, flow in list(self.flows.items()):
            if flow.state == "Running":
                running.append(name)
            elif now - flow.ended > TTL:
                del self.flows[name]
        if not running:
            return
        name = rnd.choice(running)
        flow = self.flows[name]
        flow.ended = now
        if not self.world.quiet and rnd.random() < flow.job.failing:
            flow.state = "Failed"
        elif flow.at == 0 and self.world.blob.get(flow.names.result(flow.job.name, flow.n)):
            flow.state = "Succeeded"  # somebody was here before: no effect
        elif flow.at < LAST_STEP:
            flow.at += 1  # computes; outputs go under names that carry the attempt
        else:
            self.finish(name, flow, rnd)

    def finish(self, name: str, flow: Flow, rnd: Random) -> None:
        """The last step: create the result, unless the flow knows nothing of results."""
        if not flow.job.ordinary:
            result = flow.names.result(flow.job.name, flow.n)
            self.world.blob.create(result, Result(flow.names.store, name))
        if rnd.random() < 0.1 and not self.world.quiet:
            return  # answer lost: the step is repeated and finds its own result
        killed = not self.world.quiet and rnd.random() < 0.05  # after the result, before its exit
        flow.state = "Failed" if killed else "Succeeded"
