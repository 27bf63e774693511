"""What is true of one store, kept beside it and compared at the moment something appears."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.protocol.guards import guard
from tests.protocol.objects import Entry, Key, Manifest, Names, Position, RunRecord

if TYPE_CHECKING:
    from tests.protocol.world import Job, World


class Truth:
    """Every manifest and record that counted, also deleted ones, and what follows from them."""

    def __init__(self, world: "World", store: str) -> None:
        self.world, self.names = world, Names(store)
        self.log: dict[str, list[tuple[Entry, ...]]] = {p: [] for p in world.partitions}
        self.done: dict[str, Counter[Key]] = {p: Counter() for p in world.partitions}
        self.durable: dict[str, set[tuple[Key, int]]] = {p: set() for p in world.partitions}
        self.records: dict[str, list[RunRecord]] = {}
        self.effects: Counter[tuple[str, int]] = Counter()
        self.foreign: set[tuple[str, str, int]] = set()  # numbers that another store's process took

    def copy(self) -> "Truth":
        other = Truth(self.world, self.names.store)
        other.log = {p: list(x) for p, x in self.log.items()}
        other.done = {p: Counter(x) for p, x in self.done.items()}
        other.durable = {p: set(x) for p, x in self.durable.items()}
        other.records = {job: list(x) for job, x in self.records.items()}
        other.effects = Counter(self.effects)
        other.foreign = set(self.foreign)
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
        elif kind == "runs" and rest[1].isdigit():
            self.recorded(rest[0], int(rest[1]), value)
        elif kind == "results" and value.store == self.names.store:
            self.effects[rest[0], int(rest[1])] += 1

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
        data = self.world.blob.get(entry.data)
        assert data is not None, f"DATA missing for {entry}"
        if entry.kind == "parked":
            self.durable[p] |= {(entry.key, number) for number in data[entry.key]}
            return
        assert entry in data, f"DATA of another writer under {entry.data}"
        events, done = data[entry], self.done[p][entry.key]
        expected = self.world.true[p][entry.key][done : done + len(events)]
        assert list(events) == expected, f"ORDER, LOSS or DUPLICATE {entry} {events} {expected}"
        assert (events[0], events[-1], len(events)) == (entry.first, entry.last, entry.events)
        largest = 2 * self.world.max_events - 1  # a wrong belief may add less than one batch
        assert self.world.parking or entry.events <= largest, f"SIZE {entry}"
        self.done[p][entry.key] += len(events)
        self.durable[p] |= {(entry.key, number) for number in events}

    def moved(self, p: str, position: Position) -> None:
        if position.store != self.names.store:
            return
        for number, keys in self.world.hub[p][: position.checkpoint + 1]:
            for key in keys:
                durable = (key, number) in self.durable[p]
                assert durable, f"CHECKPOINT {position.checkpoint} beyond {key} {number}"

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
        if record.opening:
            self.opened(record, records)
        else:
            expected = tuple(self.batches(self.world.jobs[job], record.start, record.to))
            assert record.batches == expected, f"RUN {n} of {job} has other batches"
        records.append(record)
        in_flight = [x for x, r in enumerate(records) if r.batches and not self.ended(job, x)]
        cap = self.world.jobs[job].cap
        assert not record.batches or len(in_flight) <= cap, f"CAP {len(in_flight)} above {cap}"

    def opened(self, record: RunRecord, records: list[RunRecord]) -> None:
        assert all(x.opening for x in records), "RUN opened again"
        for p, to in record.to.items():
            position = self.world.blob.get(self.names.position(p))
            assert to == record.start[p] or to <= position.first, "RUN opened too late"

    # --- what follows

    def vector(self, job: str) -> dict[str, int]:
        records = self.records.get(job)
        return dict(records[-1].to) if records else dict.fromkeys(self.world.partitions, 0)

    def batches(self, job: "Job", start: dict[str, int], to: dict[str, int]) -> list[Entry]:
        return [
            entry
            for p in self.world.partitions
            for entries in self.log[p][start[p] : to[p]]
            for entry in entries
            if entry.kind == "batch" and entry.key[0] in job.over
        ]

    def ended(self, job: str, n: int) -> bool:
        blob, names = self.world.blob, self.names
        return any(blob.get(x) is not None for x in (names.result(job, n), names.failed(job, n)))

    def finished(self) -> bool:
        """Whether all events are in batches, all batches in ended runs, and c is at the end."""
        for p, keys in self.world.true.items():
            position = self.world.blob.get(self.names.position(p))
            if position is None or position.checkpoint != len(self.world.hub[p]) - 1:
                return False
            if any(self.done[p][key] < len(numbers) for key, numbers in keys.items()):
                return False
        return all(self.run_all(job) for job in self.world.jobs.values())

    def run_all(self, job: "Job") -> bool:
        everything = {p: len(log) for p, log in self.log.items()}
        records = self.records.get(job.name)
        if not records or self.batches(job, self.vector(job.name), everything):
            return False
        return all(self.ended(job.name, n) for n, record in enumerate(records) if record.batches)

    def check_end(self) -> None:
        """Every record has one effect or failed; all data is still there."""
        assert all(x == 1 for x in self.effects.values()), f"EFFECT twice {self.effects}"
        for job, records in self.records.items():
            for n, record in enumerate(records):
                failed = self.world.blob.get(self.names.failed(job, n)) is not None
                effective = self.effects[job, n] == 1 or failed
                assert effective or not record.batches, f"EFFECT of {job} {n} missing"
        for log in self.log.values():
            for entry in (x for entries in log for x in entries if x.kind == "batch"):
                data = self.world.blob.get(entry.data) or ()
                assert entry in data, f"DATA gone for {entry}"
