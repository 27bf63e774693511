"""Dispatchers: run records over new manifests, under a cap, each driven to its result."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.protocol.blob_model import Blob
from tests.protocol.calls import Steps, WrongStore, call
from tests.protocol.guards import guard
from tests.protocol.identity import check_store, open_store
from tests.protocol.objects import (
    ASKED,
    REFUSED,
    Entry,
    Names,
    Result,
    RunPosition,
    RunRecord,
)
from tests.protocol.view import Log

if TYPE_CHECKING:
    from tests.protocol.world import Job, World

LAST = 10**6  # no attempt comes after a result
EMPTY_RECORD_AFTER = 4  # manifests without a batch of this job


class Runs:
    """The run records of one job, as far as they were read."""

    def __init__(self, world: "World", names: Names, job: str) -> None:
        self.world, self.blob, self.names, self.job = world, world.blob, names, job
        self.vector: dict[str, int] = {}  # a partition that is not in it starts at 0
        self.next, self.settled = 0, 0
        self.started = False  # `settled` was read
        self.opening = True  # no record so far has batches or follows one that has
        self.open_records: set[int] = set()  # with batches, and no end seen yet
        self.asked: dict[int, int] = {}  # records, and which attempt was asked for
        self.over: dict[int, int] = {}  # records, and the last attempt that is known to have ended

    def catch_up(self) -> Steps:
        """Read records from `settled` on until one is missing, and what was asked for."""
        if not self.started:
            position, _ = yield from self.position()
            self.settled, self.started = position.settled, True
            self.next = max(position.settled - 1, 0) if guard("vector") else position.settled
            self.asked = dict(position.asked)
        elif self.world.rnd.randint(1, 3) == 3 and guard("asked read"):
            self.asked = dict((yield from self.position())[0].asked)
        while (record := (yield from self.record(self.next))) is not None:
            self.take(record)
        self.admit()

    def record(self, n: int) -> Steps:
        """Read record n; one that belongs to another store counts as empty."""
        found = yield from call(self.blob.get, self.names.run(self.job, n))
        if found is not None and found.store != self.names.store and guard("record id"):
            return RunRecord(self.names.store, self.vector, self.vector, ())
        return found

    def take(self, record: RunRecord) -> None:
        self.vector, self.opening = dict(record.to), record.opening
        if record.batches and self.next >= self.settled:
            self.open_records.add(self.next)
        self.next += 1

    def admit(self) -> None:
        """Take in what was asked for, the oldest first, as far as there is room."""
        cap = self.world.every_job[self.job].cap
        for n, k in sorted(self.asked.items()):
            if len(self.open_records) < cap and not self.answered(n, k):
                self.open_records.add(n)

    def answered(self, n: int, k: int) -> bool:
        """Tell whether the attempt that was asked for has ended."""
        return self.over.get(n, 0) >= k if guard("asked stays") else n in self.over

    def position(self) -> Steps:
        name = self.names.run_position(self.job)
        value, version = (yield from call(self.blob.get_versioned, name)) or (None, None)
        if value is None or (value.store != self.names.store and guard("position id")):
            value = RunPosition(self.names.store, 0)
        return value, version

    def held(self) -> Steps:
        """Give the manifest of each partition from which the job still needs them.

        What records below `settled` covered is done with, but for those that were asked for.
        """
        position, _ = yield from self.position()
        held: dict[str, int] = {}
        for n in range(position.settled - 1, -1, -1):
            found = yield from call(self.blob.get, self.names.run(self.job, n))
            if found is not None and found.store == self.names.store:
                held = dict(found.to)
                break
        if position.asked and guard("asked held"):  # the oldest covers the oldest
            record = yield from self.record(min(position.asked)[0])
            start = {} if record is None else record.start  # gone with its store
            held = {p: min(n, start.get(p, 0)) for p, n in held.items()}
        return held

    def ended(self, n: int, k: int) -> None:
        """Take note that record n has a result, or that its last attempt k has ended."""
        self.open_records.discard(n)
        self.over[n] = max(k, self.over.get(n, 0))

    def settle(self) -> Steps:
        """Move `settled` up to the first record without an end; let go of what has an answer."""
        settled = min(self.open_records - set(self.asked), default=self.next)
        settled = max(settled if guard("settled") else self.next, self.settled)
        if settled == self.settled and not any(self.answered(*x) for x in self.asked.items()):
            return
        position, version = yield from self.position()
        left = tuple(x for x in position.asked if not self.answered(*x))
        if settled > position.settled or left != position.asked or not guard("replace settled"):
            settled = max(settled, position.settled)
            value = RunPosition(self.names.store, settled, left)
            yield from call(self.blob.replace, self.names.run_position(self.job), value, version)
        self.settled, self.asked = settled, dict(position.asked)


class Dispatcher:
    """Serves all jobs; any number of them may run at the same time."""

    def __init__(self, world: "World") -> None:
        self.world, self.blob, self.rnd = world, world.blob, world.rnd
        self.partitions = sorted(world.partitions)  # as its settings say; there may be more by now
        self.jobs = list(world.jobs.values())  # the same, and one may be retired by now
        self.runs: dict[str, Runs] = {}
        self.mine: dict[str, set[int]] = {}  # for the mutation that counts from memory

    def run(self) -> Steps:
        self.names = yield from open_store(self.world)
        try:
            while True:
                yield from check_store(self.world, self.names)
                for job in self.jobs:
                    yield from self.serve(job)
        except WrongStore:
            self.world.stat["stopped: wrong store"] += 1

    def serve(self, job: "Job") -> Steps:
        runs = self.runs.setdefault(job.name, Runs(self.world, self.names, job.name))
        yield from runs.catch_up()
        if guard("drive"):
            for n in sorted(runs.open_records):
                yield from self.drive(job, runs, n)
        yield from runs.settle()
        if runs.opening and not (yield from self.opened(runs)):
            return
        yield from self.claim(job, runs)

    # --- G1-G3: records

    def opened(self, runs: Runs) -> Steps:
        """Say where the job starts, and make sure that those manifests stay.

        A janitor that listed jobs before the opening record was there has said by then what it
        deletes: whoever has opened a job looks at that, and opens once more above it.
        """
        if runs.next > 0 and not guard("opening"):
            return True
        to = dict(runs.vector)
        for p in (yield from self.known_partitions()):
            log = Log(self.blob, self.names, p)
            if runs.next > 0:
                below, _ = yield from log.trimmed()
            else:
                below = yield from log.oldest()
            to[p] = max(below, to.get(p, 0))
        if runs.next > 0 and all(runs.vector.get(p, 0) == n for p, n in to.items()):
            return True
        yield from self.create(runs, RunRecord(self.names.store, runs.vector, to, (), True))
        return False

    def known_partitions(self) -> Steps:
        """Learn partitions from the store: one may be newer than this process."""
        if not guard("partitions listed"):
            return self.partitions
        prefix = f"{self.names.root}/position/"
        names = yield from call(self.blob.names, prefix)
        return sorted({*self.partitions, *(name[len(prefix) :] for name in names)})

    def claim(self, job: "Job", runs: Runs) -> Steps:
        """Gather new manifests of all partitions, and claim them with the next record."""
        to, batches, seen = self.start_of(runs), list[Entry](), 0
        for p in self.partitions:
            log, limit = Log(self.blob, self.names, p), to[p] + self.rnd.randint(1, 6)
            while to[p] < limit and (entries := (yield from log.entries(to[p]))) is not None:
                batches += self.of_job(job, entries)
                to[p], seen = to[p] + 1, seen + 1
        in_flight = runs.open_records if guard("cap from the store") else self.memory(runs)
        if not batches and seen > EMPTY_RECORD_AFTER:  # starts nothing: a quiet job's vector moves
            yield from self.create(runs, RunRecord(self.names.store, runs.vector, to, ()))
        elif batches and len(in_flight) < job.cap:
            record = RunRecord(self.names.store, runs.vector, to, tuple(batches))
            n = runs.next
            if (yield from self.create(runs, record)):
                self.mine.setdefault(job.name, set()).add(n)
                if not guard("drive"):
                    yield from self.drive(job, runs, n)

    def start_of(self, runs: Runs) -> dict[str, int]:
        """Begin at the vector, also for partitions that only the record before knows."""
        mine = {p: runs.vector.get(p, 0) for p in self.partitions}
        return {**runs.vector, **mine} if guard("vector passed on") else mine

    @staticmethod
    def of_job(job: "Job", entries: Sequence[Entry]) -> list[Entry]:
        return [e for e in entries if e.kind == "batch" and e.key[0] in job.over]

    def memory(self, runs: Runs) -> set[int]:
        return runs.open_records & self.mine.get(runs.job, set())

    def create(self, runs: Runs, record: RunRecord) -> Steps:
        return (yield from call(self.blob.create, self.names.run(runs.job, runs.next), record))

    # --- G4: drive

    def drive(self, job: "Job", runs: Runs, n: int) -> Steps:
        """Bring record n to its end; anybody may do this at any time, also twice."""
        names, name = self.names, job.name
        result = (yield from call(self.blob.get, names.result(name, n))) is not None
        k, decision = yield from newest_attempt(self.blob, names, name, n)
        over = result or decision == REFUSED or (yield from self.failed(name, n, k))
        if over and not result and k < runs.asked.get(n, 0):
            yield from self.answer(runs, n, runs.asked[n])
            return
        if over:
            runs.ended(n, LAST if result else k)
            return
        flow = f"{names.era}-{name}-{n}-{k}"
        flow += "" if guard("name") else f"-{self.rnd.random()}"
        receipt = yield from call(self.blob.get, names.receipt(name, n, k))
        if receipt is None:
            yield from call(self.world.cluster.start, flow, names, job, n)
            if guard("receipt"):
                yield from call(self.blob.create, names.receipt(name, n, k), flow)
            return
        state = yield from call(self.world.cluster.state, receipt)
        if state != "Running":
            yield from self.after_end(job, n, k, state)

    def failed(self, job: str, n: int, k: int) -> Steps:
        return (yield from call(self.blob.get, self.names.failed(job, n, k))) is not None

    def answer(self, runs: Runs, n: int, k: int) -> Steps:
        """Decide on the attempt that was asked for, as long as what it needs stays.

        A janitor that looked at what is asked before this was has said by then what it deletes.
        """
        record, decision = (yield from runs.record(n)), ASKED
        for p, to in record.to.items() if record else ():
            below, _ = yield from Log(self.blob, self.names, p).trimmed()
            if record.start.get(p, 0) < min(below, to) and guard("asked looks"):
                decision = REFUSED
        if decision == REFUSED and not guard("refusal decides"):
            runs.ended(n, k)
            return
        yield from call(self.blob.create, self.names.attempt(runs.job, n, k), decision)

    def after_end(self, job: "Job", n: int, k: int, state: str | None) -> Steps:
        """The Workflow ended or is gone: the result is read after that, not before."""
        names, result = self.names, self.names.result(job.name, n)
        if guard("end checks") and (yield from call(self.blob.get, result)) is not None:
            return
        if state == "Succeeded":  # an ordinary flow, without the mixin
            yield from call(self.blob.create, result, Result(names.store, "workflow"))
        elif k < job.attempts:
            yield from call(self.blob.create, names.attempt(job.name, n, k + 1), f"after {state}")
        else:
            yield from call(self.blob.create, names.failed(job.name, n, k), f"after {state}")


def newest_attempt(blob: Blob, names: Names, job: str, n: int) -> Steps:
    """Give the newest attempt and the decision to make it; the first needs none."""
    k, decision = 1, None
    while (found := (yield from call(blob.get, names.attempt(job, n, k + 1)))) is not None:
        k, decision = k + 1, found
    return k, decision
