"""One seed from start to end: steps of processes, faults between them, then a quiet phase."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.protocol.calls import Call, Steps, Timeout
from tests.protocol.dispatcher import Dispatcher
from tests.protocol.janitor import Janitor
from tests.protocol.objects import REDRIVE
from tests.protocol.operator import change_rules, retire_job
from tests.protocol.owner import Owner
from tests.protocol.redriver import Redriver
from tests.protocol.retrier import Retrier
from tests.protocol.world import World

PATIENCE = 60_000  # steps of the quiet phase
ZOMBIES_END, LAST_FAULT = 200, 800


@dataclass(frozen=True)
class Faults:
    """Probabilities: of `timeout` and `torn` per call, of the others per step."""

    kill: float = 0.006
    spawn: float = 0.008
    pause: float = 0.004
    split: float = 0.001
    lose: float = 0.0012
    roll_back: float = 0.004
    timeout: float = 0.03
    torn: float = 0.01
    replace: float = 0.0002
    backup: float = 0.002
    restore: float = 0.0002


class Process:
    """A running owner, dispatcher or janitor, and the call that it makes next."""

    def __init__(self, actor: Any) -> None:
        self.actor, self.wakes, self.alive = actor, 0, True
        self.steps: Steps = actor.run()
        self.pending: Call = next(self.steps)

    def answer(self, resume: Callable[[Any], Call], value: Any) -> None:
        try:
            self.pending = resume(value)
        except StopIteration:
            self.alive = False


@dataclass
class Role:
    """A kind of process, and those of it that live."""

    make: Callable[[], Any]
    weight: int = 1  # of its turns
    stays: bool = True  # a command ends by itself
    pool: list[Process] = field(default_factory=list)

    def start(self) -> None:
        self.pool.append(Process(self.make()))


Last = tuple[Callable[[], Any], Process]


class Scheduler:
    """Draws who steps next and what goes wrong."""

    def __init__(self, world: World, faults: Faults, steps: int = 2500) -> None:
        self.world, self.rnd, self.faults, self.steps = world, world.rnd, faults, steps
        self.duel = self.rnd.random() < 0.2  # one partition keeps two healthy owners to the end
        self.roles: list[Role] = []
        self.turns: list[Role] = []
        for p in world.partitions:
            self.add(Role(lambda p=p: Owner(world, p), weight=2))
        for make in (lambda: Dispatcher(world), lambda: Dispatcher(world), lambda: Janitor(world)):
            self.add(Role(make))
        self.add(Role(lambda: Retrier(world), stays=False))
        world.redis.torn = lambda: not world.quiet and self.rnd.random() < faults.torn
        self.harms = [
            (faults.lose, self.lose), (faults.roll_back, self.roll_back),
            (faults.replace, world.replace_store), (faults.backup, world.take_backup),
            (faults.restore, self.restore), (world.retention, world.retain),
        ]  # fmt: skip
        self.any_harm = sum(chance for chance, _ in self.harms)

    def add(self, role: Role) -> None:
        role.start()
        self.roles.append(role)
        self.turns += [role] * role.weight

    def pick(self, roles: list[Role]) -> Role:
        return roles[int(self.rnd.random() * len(roles))]

    def play(self) -> None:
        for step in range(self.steps):
            self.hub_grows(0.03, share=0.75)
            if step == self.world.late_job_at:
                self.late_job()
            if step == self.world.retire_at:
                retire_job(self.world)
            if step == self.world.rules_at:
                self.stop_all()
                change_rules(self.world)
            self.late_partitions(step)
            self.spawn()
            self.act(step)
            self.world.now += self.rnd.random() < 0.3
            self.harm()
            if self.rnd.random() < 0.3:
                self.world.cluster.step(self.rnd)
        self.finish()

    def hub_grows(self, chance: float, share: float = 1.0) -> None:
        if self.rnd.random() < 2 * chance:
            p = self.rnd.choice(("0", "1"))
            more = self.world.visible[p] < len(self.world.hub[p]) * share
            self.world.visible[p] += more

    def late_job(self) -> None:
        self.world.jobs[self.world.late_job.name] = self.world.late_job

    def late_partitions(self, step: int) -> None:
        """Add a partition; dispatchers that live know nothing of it."""
        world = self.world
        while world.later and world.later[0][0] <= step:
            _, p = world.later.pop(0)
            world.partitions.append(p)
            world.stat["partitions added"] += 1
            self.add(Role(lambda p=p: Owner(world, p)))
            if p == REDRIVE:
                self.add(Role(lambda: Redriver(world), stays=False))

    def spawn(self) -> None:
        """Start what is missing, and a second or third of a kind now and then."""
        role, x = self.pick(self.roles), self.rnd.random()
        often = len(self.roles) * (self.faults.spawn if role.pool or not role.stays else 0.1)
        if len(role.pool) < 3 and x < often:
            role.start()

    def act(self, step: int) -> None:
        role = self.pick(self.turns)
        if not role.pool:
            return
        process = role.pool[int(self.rnd.random() * len(role.pool))]
        if self.rnd.random() < self.faults.kill:
            self.kill(role.pool, process)
        elif step >= process.wakes:
            self.step(process)
            self.split_or_pause(process, step)
            if not process.alive:
                role.pool.remove(process)

    def kill(self, pool: list[Process], process: Process) -> None:
        pool.remove(process)
        if self.rnd.random() < 0.5:
            self.world.apply(process.pending)  # its last call still got through
        process.steps.close()
        self.world.stat["kills"] += 1

    def step(self, process: Process) -> None:
        """One external call: applied and answered, torn, or one of three kinds of time-out."""
        function, args = process.pending
        chance = 0.0 if self.world.quiet else self.faults.timeout
        if self.rnd.random() < chance:
            self.world.stat["timeouts"] += 1
            self.world.cut_off(process.pending)
            process.answer(process.steps.throw, Timeout())
            return
        try:
            answer = function(*args)
        except Timeout as torn:
            self.world.stat["torn scripts"] += 1
            process.answer(process.steps.throw, torn)
        else:
            process.answer(process.steps.send, answer)

    def split_or_pause(self, process: Process, step: int) -> None:
        split = self.rnd.random() < self.faults.split and isinstance(process.actor, Owner)
        if split and not self.world.wipe_is_due():
            process.actor.redis = self.world.redis.fork()  # it talks to the old server for ever
            self.world.stat["splits"] += 1
        if self.rnd.random() < self.faults.pause:
            process.wakes = step + self.rnd.randint(50, 900)  # wakes up with an old view
            self.world.stat["freezes"] += 1

    def harm(self) -> None:
        """Perhaps one of the faults that no process makes by itself."""
        x = self.rnd.random()
        if x < self.any_harm:
            for chance, fault in self.harms:
                if x < chance:
                    fault()
                    break
                x -= chance
        late = self.world.late
        if late and self.rnd.random() < 0.02:
            self.world.apply(late.pop(self.rnd.randrange(len(late))))

    def lose(self) -> None:
        self.world.redis.lose()
        self.world.stat["losses"] += 1

    def roll_back(self) -> None:
        self.world.redis.roll_back(self.rnd)
        self.world.stat["roll-backs"] += 1

    def restore(self) -> None:
        """An operator stops everything, brings a back-up of the store in, and starts again."""
        if self.world.backup is None:
            return
        self.stop_all()
        self.world.restore_backup()

    def stop_all(self) -> None:
        for role in self.roles:
            while role.pool:
                role.pool.pop().steps.close()

    # --- the quiet phase

    def finish(self) -> None:
        """No more faults but one; zombies run on for a while; then all must end well."""
        self.world.quiet = True
        if self.world.late_job_at >= self.steps:
            self.late_job()
        self.late_partitions(self.steps)
        makers = [role.make for role in self.roles if role.stays]
        last = [(make, Process(make())) for make in makers + makers[: self.duel]]
        one_more = self.rnd.choice((0, self.rnd.randint(ZOMBIES_END + 1, LAST_FAULT)))
        for calm in range(PATIENCE):
            if calm == ZOMBIES_END:
                self.end_zombies()
            if calm == one_more:
                last = self.last_fault(last)
            self.world.now += 2
            self.world.alone = calm > ZOMBIES_END + 200 and calm > one_more and not self.duel
            self.hub_grows(0.1)
            self.calm_step(last, zombies=calm <= ZOMBIES_END)
            self.world.cluster.step(self.rnd)
            if calm > ZOMBIES_END and calm % 50 == 0 and self.finished():
                return
        raise AssertionError("PROGRESS: the quiet phase does not end")

    def finished(self) -> bool:
        truth = self.world.truth
        if truth is None or not truth.finished():
            return False
        truth.check_end()
        return True

    def end_zombies(self) -> None:
        self.stop_all()
        for late in self.world.late:
            self.world.apply(late)

    def last_fault(self, last: list[Last]) -> list[Last]:
        """One more fault, at a time when perhaps no event comes any more."""
        faults = [self.lose, self.roll_back, self.world.replace_store]
        if self.faults.restore:
            faults.append(self.restore)
        fault = self.rnd.choice(faults)
        fault()
        if fault != self.restore or self.world.backup is None:
            return last
        for _, process in last:
            process.steps.close()
        return [(make, Process(make())) for make, _ in last]

    def calm_step(self, last: list[Last], *, zombies: bool) -> None:
        if zombies and self.rnd.random() < 0.3:
            process = self.any_zombie()
            if process is not None:
                self.step(process)
                return
        at = int(self.rnd.random() * len(last))
        make, process = last[at]
        self.step(process)
        if not process.alive:  # it stopped, and whoever runs it starts it again
            last[at] = make, Process(make())

    def any_zombie(self) -> Process | None:
        alive = [x for role in self.roles for x in role.pool if x.alive]
        return self.rnd.choice(alive) if alive else None


def play(seed: int, faults: Faults | None = None, **options: Any) -> World:
    """Play one seed to its end; AssertionError says what the protocol broke."""
    world = World(seed, **{"parking": True, **options})
    Scheduler(world, faults or Faults()).play()
    return world
