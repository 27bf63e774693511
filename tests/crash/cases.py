"""Which case is which: a seed and a number give world, failpoints and traffic, always the same."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batching.failpoints import POINTS

PLAIN = "plain"  # no jobs
# What it takes for a failpoint to be passed, by the first part of its name; else nothing special.
WORLDS = {
    "record": "job_quick",
    "start": "job_quick",
    "receipt": "job_quick",
    "settled": "job_quick",
    "result": "job_metaflow",
    "attempt": "job_flaky",
    "failed": "job_failing",
    "vouch": "job_ordinary",
    "forget": "rolled_back",  # Redis comes back as it was when buffers were open
    "lost": "overtaken",  # the hub has dropped what the service had not read
    "park": "parked",  # slow sensors, and a bound that they pass at once
    "release": "parked",
    "restore": "parked_before",  # by a process that was killed
    "merge": "parked_often",
    "pressure": "pressed",  # fewer open batches are allowed than there are sensors
    "trim": "trimmed",  # a store that keeps nothing for longer than a second
    "wipe": "restored",  # the store comes back from a backup, older than Redis
}
OFTEN = {"receive", "append", "seal", "peek", "data", "manifest", "take", "ack", "checkpoint"}
IN_A_FLOW = {"result"}
ONCE_A_STORE = {"identity"}
# In a command's own process: tests/end_to_end/test_dead_letters.py kills that.
ELSEWHERE = {"redrive", "retry"}
HERE = tuple(name for name in POINTS if name.partition(".")[0] not in ELSEWHERE)
WAVES = {"parked": 8, "parked_before": 8, "parked_often": 30}  # more objects than stay unmerged
ONE_OWNER = IN_A_FLOW | ONCE_A_STORE | {"drain", "receive"}  # frozen there, nobody else gets in
PAUSE_SECONDS, FREEZE_SECONDS = 0.7, 4.0
TURNS = ("kill", "pair", "raise", "freeze", "pause", "pair", "pair", "pair")


@dataclass(frozen=True)
class Spec:
    """One failpoint, switched on."""

    name: str
    action: str
    nth: int = 1

    @property
    def seconds(self) -> float:
        return {"pause": PAUSE_SECONDS, "freeze": FREEZE_SECONDS}.get(self.action, 0.0)

    def __str__(self) -> str:
        seconds = f":{self.seconds}" if self.seconds else ""
        return f"{self.name}={self.action}{seconds}@{self.nth}"


@dataclass(frozen=True)
class Case:
    """Everything that was chosen; what then happens also depends on the machine's timing."""

    seed: int
    number: int
    world: str
    specs: tuple[Spec, ...]  # of the first process that is to die, and of the one after it
    redis: str  # what becomes of Redis while the service is down: kept, emptied, rolled_back
    partitions: int
    waves: tuple[int, ...]  # events sent at once
    ends_by: str  # the last process: drain (SIGTERM) or kill
    hurried: bool  # the process that is to die is asked to drain, so that all steps are passed
    by_exec: bool  # started by a new interpreter, not by a fork of one that has all imported

    @property
    def two_owners(self) -> bool:
        """Whoever freezes finds, when it wakes up, that another has taken over."""
        return any(spec.action == "freeze" for spec in self.specs)

    @property
    def command(self) -> str:
        """How to do it again."""
        return f"python -m tests.crash --seed {self.seed} --case {self.number}"

    def __str__(self) -> str:
        specs = " then ".join(map(str, self.specs))
        return f"case {self.number} ({self.world}, redis {self.redis}): {specs}"


def cases(seed: int, names: Sequence[str] = HERE) -> Iterator[Case]:
    """Give cases for ever: each name by each action, and as many pairs, then all again."""
    number = itertools.count()
    for turn in itertools.cycle(TURNS):
        first = next(number)
        rng = random.Random(f"{seed}/{first}")
        order = [name for name in names if turn != "freeze" or _first(name) not in ONE_OWNER]
        rng.shuffle(order)
        for offset, name in enumerate(order):
            yield _case(seed, first + offset, name, turn, names)
        number = itertools.count(first + len(order))


def case(seed: int, number: int) -> Case:
    """Give one of them again."""
    return next(itertools.islice(cases(seed), number, None))


def _first(name: str) -> str:
    return name.partition(".")[0]


def _case(seed: int, number: int, name: str, turn: str, names: Sequence[str]) -> Case:
    rng = random.Random(f"{seed}:{number}")
    world = WORLDS.get(_first(name), PLAIN)
    specs = [_spec(name, turn if turn != "pair" else rng.choice(("kill", "kill", "raise")), rng)]
    if turn == "pair":
        second = rng.choice([each for each in names if _fits(each, world)])
        specs.append(_spec(second, rng.choice(("kill", "kill", "raise", "pause")), rng))
    special = world in ("rolled_back", "restored", "overtaken")
    waves = WAVES.get(world, rng.randint(4, 6))
    return Case(
        seed=seed,
        number=number,
        world=world,
        specs=tuple(specs),
        redis="kept" if special else rng.choice(("kept",) * 6 + ("emptied", "rolled_back")),
        partitions=1 if world.startswith("parked") else rng.choice((1, 2)),
        waves=tuple(rng.randint(4, 16) for _ in range(waves)),
        ends_by=rng.choice(("drain", "kill")),
        hurried=True,
        by_exec=number % 10 == 0,
    )


def _fits(name: str, world: str) -> bool:
    """Tell whether a failpoint can be passed by a process that is started again."""
    first = _first(name)
    return first not in ONCE_A_STORE and WORLDS.get(first, PLAIN) in (PLAIN, world)


def _spec(name: str, action: str, rng: random.Random) -> Spec:
    if _first(name) in IN_A_FLOW and action == "raise":
        return Spec(name, action)
    nth = rng.randint(1, 3) if _first(name) in OFTEN else 1
    return Spec(name, action, nth)
