"""The owner of one partition: attaches, then receives in one task and commits in another."""

from typing import TYPE_CHECKING

from tests.protocol.calls import Call, Reattach, Steps, Timeout, WrongStore, call
from tests.protocol.committer import Committer
from tests.protocol.guards import guard
from tests.protocol.identity import check_store, open_store
from tests.protocol.objects import LOST, Entry, Names
from tests.protocol.policy import Policy
from tests.protocol.redis_model import Namespace, Redis
from tests.protocol.redriver import Event
from tests.protocol.view import Log, View

if TYPE_CHECKING:
    from tests.protocol.world import World


class Task:
    """One of the tasks of a process: a call may be answered long before the answer is read."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.pending: Call = next(steps)
        self.answers: list[object] = []

    def step(self, patient: bool) -> Steps:  # noqa: FBT001
        """Make the call, and read its answer now or at the next step."""
        if not self.answers:
            try:
                self.answers.append((yield self.pending))
            except Timeout as timeout:
                self.answers.append(timeout)
            if patient:
                return
        answer = self.answers.pop()
        if isinstance(answer, Timeout):
            self.pending = self.steps.throw(answer)
        else:
            self.pending = self.steps.send(answer)


class Owner:
    """What one process knows of its partition; `view`, `acked` and `states` are of one attach."""

    def __init__(self, world: "World", p: str) -> None:
        self.world, self.p, self.rnd = world, p, world.rnd
        self.redis: Redis = world.redis
        self.blob = world.blob
        self.view, self.version, self.acked = View(-1, 0), None, -1
        self.policy = Policy(world.rnd, world.max_events, world.patience)
        self.opened = False  # whether the cached states follow Redis
        self.changing = False  # one of the tasks changes open buffers, or reads their states
        self.leftovers: list[Task] = []
        self.use(Names(""))

    def use(self, names: Names) -> None:
        self.names, self.log = names, Log(self.blob, names, self.p)
        self.t: Namespace = names.t(self.p)
        self.committer = Committer(self)

    def run(self) -> Steps:
        self.use((yield from open_store(self.world)))
        while True:
            try:
                yield from self.attach()
                yield from self.work()
            except Reattach:
                self.world.stat["reattach"] += 1
            except WrongStore:
                self.world.stat["stopped: wrong store"] += 1
                return

    def work(self) -> Steps:
        """Receive and commit side by side until one of them finds that it must attach again."""
        tasks = [Task(self.receiving()), Task(self.committer.run()), *self.leftovers]
        self.leftovers = []
        try:
            while True:
                task = tasks[int(self.rnd.random() * len(tasks))]
                patient = not self.world.quiet and self.rnd.random() < 0.3
                yield from task.step(patient)
        except (Reattach, WrongStore):
            self.stop([x for x in tasks if x is not task])
            raise

    def stop(self, tasks: list[Task]) -> None:
        """Stop tasks in the middle of their calls: applied, applied later, or never."""
        if not guard("stop both"):
            self.leftovers = tasks[-1:]
            return
        for task in tasks:
            task.steps.close()
            if not task.answers and not self.world.quiet:
                self.world.cut_off(task.pending)

    def alone(self, steps: Steps) -> Steps:
        """Take steps that change open buffers, or read their states, while no other task does."""
        while self.changing and guard("held off"):
            yield from call(self.world.wait)
        self.changing = True
        try:
            return (yield from steps)
        finally:
            self.changing = False

    # --- A. Attach

    def attach(self) -> Steps:
        yield from check_store(self.world, self.names)
        relies_on = yield from call(self.redis.acknowledged, self.t)
        self.view, self.version = yield from self.log.read()
        self.world.attached(self.view.next - self.view.first)
        if self.view.next <= relies_on and guard("wipe"):  # the log is older than Redis
            self.world.stat["wipes"] += 1
            yield from call(self.redis.wipe, self.t)
        if guard("forget"):
            yield from self.forget()
        if guard("restore"):
            yield from self.committer.parking.restore(list(self.view.pieces))
        manifest = self.view.next - 1
        self.acked = yield from call(self.redis.attach, self.t, self.view.checkpoint, manifest)
        yield from self.pass_lost()
        self.opened = False

    def forget(self) -> Steps:
        """Drop open buffers that came back with a roll-back and are committed as a whole."""
        for key, buffer in (yield from call(self.redis.opened, self.t)).items():
            mark = self.view.mark(key)
            if not self.view.pieces.get(key) and buffer.last <= mark:
                yield from call(self.redis.forget, self.t, key, mark, self.view.next - 1)

    def pass_lost(self) -> Steps:
        """A7. Say what the hub no longer has before w passes it.

        w passes it by an append, which is refused where Redis went back meanwhile: what it had
        until then is in the hub no longer, and the next attach must say so.
        """
        while True:
            first, last = yield from call(self.world.hub_range, self.p)
            if first <= self.acked + 1:
                return
            reason = self.world.on_lost_position
            upto = last if reason == "skipped" else first - 1
            lost = Entry("lost", LOST, self.acked + 1, upto, upto - self.acked, reason=reason)
            if guard("lost first"):
                yield from self.committer.commit(lost=lost)
            yield from self.raise_w(upto)
            if not guard("lost first"):
                yield from self.committer.commit(lost=lost)
            self.world.stat["lost entries"] += 1

    def raise_w(self, upto: int) -> Steps:
        manifest = self.view.next - 1 if guard("lost tells n") else -1
        if guard("lost is appended"):
            outcome, self.acked, _ = yield from call(
                self.redis.append, self.t, self.acked, upto, (), manifest
            )
            if outcome == "GAP":
                raise Reattach
        else:
            self.acked = yield from call(self.redis.attach, self.t, upto, manifest)

    # --- B. Append

    def receiving(self) -> Steps:
        """Take what the link gives: it moves on, whatever becomes of what it gave."""
        at = self.acked + 1
        while True:
            limit = self.rnd.randint(1, 8)
            events = yield from call(self.world.receive, self.names, self.p, at, limit)
            if events and events[0][0] > at and guard("gap received"):
                raise Reattach  # the hub no longer has what comes between
            at = events[-1][0] + 1 if events else at
            while fresh := [event for event in events if event[0] > self.acked]:
                yield from self.alone(self.append(fresh))
                if not guard("rest of slice"):
                    break

    def read_states(self) -> Steps:
        if not self.opened:
            self.opened = True  # before the call: what happens meanwhile makes them stale again
            found = yield from call(self.redis.opened, self.t)
            self.policy.states = {key: (x.items, x.state, x.due) for key, x in found.items()}

    def append(self, events: list[Event]) -> Steps:
        yield from self.read_states()
        plan = self.policy.plan(
            (number, key)
            for number, keys in events
            for key in keys
            if number > self.view.mark(key) or not guard("skip")
        )
        manifest, last = self.view.next - 1, events[-1][0]
        outcome, w, wrong = yield from call(
            self.redis.append, self.t, self.acked, last, plan.groups, manifest
        )
        if outcome == "GAP":
            raise Reattach
        if outcome == "OK":
            self.policy.follow(plan, wrong)
            self.world.stat["resyncs"] += len(wrong)
        elif guard("drop states"):
            self.opened = False
        self.acked = w  # BEHIND: somebody else, or our own call whose answer was lost, went on
