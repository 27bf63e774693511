"""What is true of one store, kept beside it and compared at the moment something appears."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.protocol.guards import guard
from tests.protocol.objects import (
    ASKED,
    REDRIVE,
    REFUSED,
    Entry,
    Key,
    Manifest,
    Names,
    Position,
    Redriven,
    RunRecord,
    index_of,
)
from tests.protocol.redriver import Event, Origin

if TYPE_CHECKING:
    from tests.protocol.world import Job, World


def covered(record: RunRecord) -> set[tuple[str, int]]:
    """Give the manifests whose batches a record holds."""
    return {(p, n) for p, to in record.to.items() for n in range(record.start.get(p, 0), to)}


class Truth:
    """Every manifest and record that counted, also deleted ones, and what follows from them."""

    def __init__(self, world: "World", store: str) -> None:
        self.world, self.names = world, Names(store)
        every = world.every_partition
        self.log: dict[str, list[tuple[Entry, ...]]] = {p: [] for p in every}
        self.done: dict[str, Counter[Key]] = {p: Counter() for p in every}  # batched or lost
        self.durable: dict[str, set[tuple[Key, int]]] = {p: set() for p in every}
        self.lost: dict[str, set[int]] = {p: set() for p in every}
        self.checked = dict.fromkeys(every, -1)  # all up to here is durable or lost
        self.records: dict[str, list[RunRecord]] = {}
        self.effects: Counter[tuple[str, int]] = Counter()
        self.foreign: set[tuple[str, str, int]] = set()  # numbers that another store's process took
        self.asked: set[tuple[str, int, int]] = set()  # job, record and attempt
        self.gone: set[tuple[str, int]] = set()  # manifests that were deleted
        self.redriven: list[Event] = []
        self.origins: set[Origin] = set()  # of the events in it
        self.true: dict[str, dict[Key, list[int]]] = {**world.true, REDRIVE: {}}

    def copy(self) -> "Truth":
        other = Truth(self.world, self.names.store)
        other.log = {p: list(x) for p, x in self.log.items()}
        other.done = {p: Counter(x) for p, x in self.done.items()}
        other.durable = {p: set(x) for p, x in self.durable.items()}
        other.lost = {p: set(x) for p, x in self.lost.items()}
        other.checked = dict(self.checked)
        other.records = {job: list(x) for job, x in self.records.items()}
        other.effects = Counter(self.effects)
        other.foreign = set(self.foreign)
        other.asked, other.gone = set(self.asked), set(self.gone)
        other.redriven, other.origins = list(self.redriven), set(self.origins)
        other.true = {p: {key: list(x) for key, x in keys.items()} for p, keys in self.true.items()}
        return other

    # --- what appears

    def created(self, name: str, value: Any) -> None:
        """Judge a new object; what belongs to another store is not looked at."""
        root, kind, *rest = name.split("/")
        if root != self.names.root:
            return
        if kind == "log":
            self.committed(rest[0], int(rest[1]), value)
        elif kind == "position":
            self.moved(rest[0], value)
        elif kind == "runs":
            self.done_for(rest[0], rest[1], value)
        elif kind == "redrive":
            self.came_back(int(rest[0]), value)
        elif kind == "results" and value.store == self.names.store:
            self.effects[rest[0], int(rest[1])] += 1

    def done_for(self, job: str, what: str, value: Any) -> None:
        """Judge what is new about a job's runs."""
        if what.isdigit():
            self.recorded(job, int(what), value)
        elif what == "position":
            self.asked |= {(job, n, k) for n, k in value.asked}
        elif value == ASKED:
            self.decided(job, int(what[:12]))
        self.world.stat["runs given up"] += what.endswith(".failed")
        self.world.stat["retries refused"] += value == REFUSED

    def committed(self, p: str, n: int, manifest: Manifest) -> None:
        log = self.log[p]
        if n < len(log) and guard("create-only log"):
            return  # a deleted number came back: everybody must ignore it
        if manifest.log != self.names.store:
            self.foreign.add(("log", p, n))  # it takes a number, and is empty
        else:
            assert n <= len(log), f"LOG has a hole before {n}"
            log.append(manifest.entries)
            for entry in manifest.entries:
                self.add(p, entry)
        while ("log", p, len(log)) in self.foreign:
            log.append(())

    def add(self, p: str, entry: Entry) -> None:
        if entry.kind == "lost":
            self.add_lost(p, entry)
            return
        data = self.world.blob.get(entry.data)
        assert data is not None, f"DATA missing for {entry}"
        if entry.kind == "parked":
            assert self.world.blob.get(index_of(entry.data)), f"DATA: no index for {entry}"
            self.durable[p] |= {(x.key, number) for x in data for number in data[x]}
            return
        assert entry in data, f"DATA of another writer under {entry.data}"
        self.add_batch(p, entry, data[entry])

    def add_batch(self, p: str, entry: Entry, events: tuple[int, ...]) -> None:
        """Compare with what comes next of that key; only what is lost may be left out."""
        true, at = self.true[p].get(entry.key, []), self.done[p][entry.key]
        for number in events:
            while at < len(true) and true[at] < number and true[at] in self.lost[p]:
                at += 1
            expected = true[at : at + 1]
            assert [number] == expected, f"ORDER, LOSS or DUPLICATE {p} {entry} {events} {expected}"
            at += 1
        assert (events[0], events[-1], len(events)) == (entry.first, entry.last, entry.events)
        largest = 2 * self.world.max_events - 1  # a wrong belief may add less than one batch
        assert self.world.parking or entry.events <= largest, f"SIZE {entry}"
        self.done[p][entry.key] = at
        self.durable[p] |= {(entry.key, number) for number in events}

    def add_lost(self, p: str, entry: Entry) -> None:
        """What is said to be lost must be lost, or be skipped because something is."""
        first, last = self.world.hub_range(p)
        assert entry.first < first, f"LOST although the hub has it: {entry}, {first}"
        assert entry.last < first or (entry.reason == "skipped" and entry.last <= last)
        self.lost[p].update(range(entry.first, entry.last + 1))

    def came_back(self, first: int, value: Redriven) -> None:
        """Judge re-driven dead letters: each once, and numbered without a gap."""
        assert first == len(self.redriven), f"REDRIVE {first} does not follow {len(self.redriven)}"
        assert not self.origins & set(value.origins), f"REDRIVE of {value.origins} again"
        for origin in value.origins:
            event = Event(len(self.redriven), self.world.decoders.keys(origin))
            self.redriven.append(event)
            self.origins.add(origin)
            for key in event.keys:
                self.true[REDRIVE].setdefault(key, []).append(event.number)

    def moved(self, p: str, position: Position) -> None:
        if position.store != self.names.store:
            return
        for number, keys in self.events(p)[self.checked[p] + 1 : position.checkpoint + 1]:
            for key in keys:
                durable = (key, number) in self.durable[p] or number in self.lost[p]
                assert durable, f"CHECKPOINT {position.checkpoint} beyond {key} {number}"
        self.checked[p] = max(self.checked[p], position.checkpoint)

    def deleted(self, name: str, value: Any) -> None:
        """Judge a deletion: what is said to be lost above the checkpoint must stay for `verify`."""
        root, kind, *rest = name.split("/")
        if root != self.names.root or kind != "log":
            return
        p, n = rest[0], int(rest[1])
        if self.log[p][n : n + 1] != [value.entries]:
            return  # a deleted number had come back
        reach = max((e.last for e in value.entries if e.kind == "lost"), default=-1)
        assert reach <= self.checked[p], f"LOST up to {reach} is deleted with {name}"
        self.gone.add((p, n))
        for job, records in self.records.items():
            if self.world.blob.get(self.names.retired(job)) is None:
                for x, record in enumerate(records):
                    needed = record.batches and (p, n) in covered(record)
                    assert not needed or self.ended(job, x), f"RUN {job} {x} goes on without {name}"

    def decided(self, job: str, n: int) -> None:
        """Judge the decision for an attempt that was asked for: what it needs is there."""
        gone = self.gone & covered(self.records[job][n])
        result = self.world.blob.get(self.names.result(job, n))
        assert not gone or result is not None, f"RUN {n} of {job} is tried again without {gone}"

    def recorded(self, job: str, n: int, record: RunRecord) -> None:
        records = self.records.setdefault(job, [])
        if record.store != self.names.store:
            self.foreign.add(("runs", job, n))
        else:
            assert n == len(records) or not guard("create-only runs"), f"RUN {n} leaves a hole"
            self.add_record(job, n, record, records)
        while ("runs", job, len(records)) in self.foreign:
            vector = self.vector(job)
            records.append(RunRecord(self.names.store, vector, vector, ()))

    def add_record(self, job: str, n: int, record: RunRecord, records: list[RunRecord]) -> None:
        assert record.start == self.vector(job), f"RUN {n} of {job} overlaps or leaves a hole"
        back = [p for p, n in record.start.items() if record.to.get(p, 0) < n]
        assert not back, f"RUN {n} of {job} goes back in {back}"
        if record.opening:
            self.opened(record, records)
        else:
            expected = tuple(self.batches(self.world.every_job[job], record.start, record.to))
            assert record.batches == expected, f"RUN {n} of {job} has other batches"
        records.append(record)
        in_flight = [x for x, r in enumerate(records) if r.batches and self.counts(job, x)]
        cap = self.world.every_job[job].cap
        assert not record.batches or len(in_flight) <= cap, f"CAP {len(in_flight)} above {cap}"

    def opened(self, record: RunRecord, records: list[RunRecord]) -> None:
        assert all(x.opening for x in records), "RUN opened again"
        for p, to in record.to.items():
            position = self.world.blob.get(self.names.position(p))
            assert to == record.start.get(p, 0) or to <= position.first, "RUN opened too late"

    # --- what follows

    def vector(self, job: str) -> dict[str, int]:
        records = self.records.get(job)
        return dict(records[-1].to) if records else {}

    def events(self, p: str) -> Sequence[Event]:
        return self.redriven if p == REDRIVE else self.world.hub[p]

    def batches(self, job: "Job", start: dict[str, int], to: dict[str, int]) -> list[Entry]:
        return [
            entry
            for p in self.world.every_partition
            for entries in self.log[p][start.get(p, 0) : to.get(p, 0)]
            for entry in entries
            if entry.kind == "batch" and entry.key[0] in job.over
        ]

    def attempts(self, job: str, n: int) -> list[str]:
        """Give the decisions for attempts from the second on."""
        found: list[str] = []
        name = self.names.attempt(job, n, 2)
        while (decision := self.world.blob.get(name)) is not None:
            found.append(decision)
            name = self.names.attempt(job, n, len(found) + 2)
        return found

    def ended(self, job: str, n: int) -> bool:
        """Tell whether it has a result, or its last attempt an end."""
        blob, names, decisions = self.world.blob, self.names, self.attempts(job, n)
        if blob.get(names.result(job, n)) is not None or decisions[-1:] == [REFUSED]:
            return True
        return blob.get(names.failed(job, n, len(decisions) + 1)) is not None

    def counts(self, job: str, n: int) -> bool:
        """Tell whether it is in flight, and nobody has asked for that."""
        return not self.ended(job, n) and ASKED not in self.attempts(job, n)

    def finished(self) -> bool:
        """Whether all events are in batches, all batches in ended runs, and c is at the end."""
        for p, keys in self.true.items():
            position = self.world.blob.get(self.names.position(p))
            checkpoint = -1 if position is None else position.checkpoint
            if checkpoint != len(self.events(p)) - 1:
                return False
            lost = self.lost[p]
            if any(not lost.issuperset(x[self.done[p][key] :]) for key, x in keys.items()):
                return False
        return all(self.run_all(job) and self.nothing_asked(job) for job in self.world.jobs)

    def nothing_asked(self, job: str) -> bool:
        position = self.world.blob.get(self.names.run_position(job))
        return position is None or not position.asked

    def run_all(self, job: str) -> bool:
        everything = {p: len(log) for p, log in self.log.items()}
        records = self.records.get(job)
        if not records or self.batches(self.world.jobs[job], self.vector(job), everything):
            return False
        return all(self.ended(job, n) for n, record in enumerate(records) if record.batches)

    def check_end(self) -> None:
        """Every record has one effect or failed; all data is still there."""
        assert all(x == 1 for x in self.effects.values()), f"EFFECT twice {self.effects}"
        for job in self.world.jobs:
            for n, record in enumerate(self.records.get(job, ())):
                effective = self.effects[job, n] == 1 or self.ended(job, n)
                assert effective or not record.batches, f"EFFECT of {job} {n} missing"
        for job, n, k in self.asked:
            done = self.effects[job, n] or job not in self.world.jobs
            heard = [*[""] * 2, *self.attempts(job, n)][k : k + 1]
            started = self.world.blob.get(self.names.receipt(job, n, k)) is not None
            assert done or heard == [REFUSED] or (heard and started), f"RETRY {k} of {job} {n}"
        for log in self.log.values():
            for entry in (x for entries in log for x in entries if x.kind == "batch"):
                data = self.world.blob.get(entry.data) or ()
                assert entry in data, f"DATA gone for {entry}"
