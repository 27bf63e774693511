"""What an operator does with the service: give up a job, change the rules after a drain."""

from typing import TYPE_CHECKING

from tests.protocol.guards import guard
from tests.protocol.objects import STORE, Identity, Names
from tests.protocol.owner import Owner
from tests.protocol.redriver import Event

if TYPE_CHECKING:
    from tests.protocol.world import World

PATIENCE = 40_000  # steps of a drain


def retire_job(world: "World") -> None:
    """Give up a job; whoever was started before still serves it."""
    found: Identity | None = world.blob.get(STORE)
    if found is not None:
        job = world.rnd.choice(sorted(world.jobs))
        del world.jobs[job]
        world.blob.create(Names(*found).retired(job), "")
        world.stat["jobs retired"] += 1


def change_rules(world: "World") -> None:
    """Let other keys be those of each event; every process of before has ended.

    What was sent before the drain ended may still arrive: calls, and older states of Redis.
    A back-up of before would have to be brought in with the rules of then.
    """
    if guard("drain"):
        drain(world)
    for p, events in world.hub.items():
        seen = world.visible[p] if p in world.partitions else 0  # nobody has read it yet
        known = world.truth.true[p] if world.truth is not None else {}
        for key, numbers in known.items():
            known[key] = [number for number in numbers if number < seen]
        world.true[p] = {}
        for event in [Event(x.number, world.other_keys(p, x)) for x in events]:
            events[event.number] = event
            for key in event.keys:
                world.true[p].setdefault(key, []).append(event.number)
                if event.number >= seen:
                    known.setdefault(key, []).append(event.number)
    world.backup = None
    world.stat["rules changed"] += 1


def drain(world: "World") -> None:
    """Let one owner of each partition commit everything and move the checkpoint to its end."""
    world.quiet = True
    for p in [p for p in world.partitions if p in world.hub]:
        steps = Owner(world, p).run()
        function, args = next(steps)
        for _ in range(PATIENCE):
            function, args = steps.send(function(*args))
            world.now += 1
            if drained(world, p):
                break
        else:
            raise AssertionError(f"PROGRESS: {p} does not drain")
        steps.close()
    world.quiet = False


def drained(world: "World", p: str) -> bool:
    found: Identity | None = world.blob.get(STORE)
    position = None if found is None else world.blob.get(Names(*found).position(p))
    checkpoint = -1 if position is None else position.checkpoint
    return found is not None and checkpoint == world.visible[p] - 1
