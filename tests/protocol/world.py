"""The world of one seed: hub, store, Redis, the settings of this world, and the truth."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.protocol.blob_model import Blob, Objects
from tests.protocol.calls import Call, Timeout
from tests.protocol.cluster import Cluster
from tests.protocol.guards import guard
from tests.protocol.objects import DEAD, REDRIVE, STORE, Identity, Key, Names
from tests.protocol.redis_model import Redis
from tests.protocol.redriver import Decoders, Event, redriven
from tests.protocol.truth import Truth

SENSORS = tuple(f"s{i}" for i in range(6))
ROUTES = (("a",), ("b",), ("a", "b"), ("a",), ())
SLOW = ("s4", "s5")


@dataclass(frozen=True)
class Job:
    """A flow over streams; at most `cap` of its runs at a time."""

    name: str
    over: tuple[str, ...]
    cap: int
    attempts: int
    failing: float
    ordinary: bool  # its flow knows nothing of results: the dispatcher creates them


class World:
    """Everything that processes share; they reach it by calls of these objects only."""

    every_partition = ("0", "1", REDRIVE)
    streams = ("a", "b", DEAD[0])

    def __init__(
        self, seed: int, redis: Callable[[], Redis] = Redis, events: int = 70, *, parking: bool
    ) -> None:
        self.rnd = rnd = Random(seed)
        self.stat: Counter[str] = Counter()
        self.now, self.nonces, self.quiet = 0, 0, False
        self.late: list[Call] = []
        self.max_events = rnd.choice((2, 3, 5, 8))
        self.parking = rnd.random() < 0.7 and parking
        self.park_distance, self.carry_after = rnd.choice((4, 8, 16)), rnd.choice((2, 4, 8))
        self.merging = rnd.choice((0, 0.05, 0.3))
        self.max_distance, self.alone = 0, False
        self.draw_jobs()
        self.draw_hub(events)
        self.decoders = Decoders(seed)
        self.draw_partitions()
        self.redis, self.cluster = redis(), Cluster(self)
        self.blob = Blob(self.created, self.deleted)
        self.truth: Truth | None = None
        self.stores, self.epochs, self.has_epochs = 0, 0, rnd.random() < 0.5
        self.backup: tuple[Objects, Truth] | None = None

    def draw_jobs(self) -> None:
        rnd = self.rnd
        jobs = [
            Job(name, over, rnd.choice((1, 2, 4)), rnd.choice((1, 2, 3, 9)),
                rnd.choice((0.02, 0.1, 0.3)), rnd.random() < 0.2)
            for name, over in (("one", ("a",)), ("both", ("a", "b")), ("late", ("b",)))
        ]  # fmt: skip
        self.jobs = {job.name: job for job in jobs[:2]}
        self.late_job, self.late_job_at = jobs[2], rnd.randint(1, 3000)
        self.retire_at, self.rules_at = rnd.randint(500, 12_000), rnd.randint(300, 10_000)
        self.every_job = {job.name: job for job in jobs}

    def draw_partitions(self) -> None:
        """Some partitions are there from the start, others come later."""
        late: list[tuple[int, str]] = []
        if self.rnd.random() < 0.35:
            late.append((self.rnd.randint(100, 1200), REDRIVE))
        if self.rnd.random() < 0.2:
            late.append((self.rnd.randint(100, 2000), "1"))
        self.partitions = [p for p in self.hub if p not in {p for _, p in late}]
        self.later = sorted(late)

    def draw_hub(self, events: int) -> None:
        rnd, partitions = self.rnd, ("0", "1")
        self.hub: dict[str, list[Event]] = {p: [] for p in partitions}
        self.true: dict[str, dict[Key, list[int]]] = {p: {} for p in partitions}
        self.visible = dict.fromkeys(partitions, 0)
        self.hub_first = dict.fromkeys(partitions, 0)  # older ones are gone
        self.retention = rnd.choice((0, 0, 0, 0.001, 0.003))
        self.on_lost_position = rnd.choice(("retention", "retention", "skipped"))
        for p in partitions:
            routes = {sensor: rnd.choice(ROUTES) for sensor in SENSORS}
            for number in range(events):
                sensor = SENSORS[int(len(SENSORS) * rnd.random() ** 2)]
                keys = tuple((stream, sensor) for stream in routes[sensor])
                dead = rnd.random() < 0.04
                self.add_event(p, Event(number, (DEAD,) if dead else keys))

    def add_event(self, p: str, event: Event) -> None:
        self.hub[p].append(event)
        for key in event.keys:
            self.true[p].setdefault(key, []).append(event.number)

    def other_keys(self, p: str, event: Event) -> tuple[Key, ...]:
        """Give the keys that an event has under other rules."""
        if self.rnd.random() < 0.5:
            return event.keys
        return self.rnd.choice(self.hub[p]).keys

    # --- what processes ask for

    def wait(self) -> None:
        """Let another task of the same process go on."""

    def receive(self, names: Names, p: str, start: int, limit: int) -> list[Event]:
        """Give events from number `start` on, or from the oldest that is left."""
        if p == REDRIVE:
            return redriven(self.blob, names, self.decoders, start, limit)
        start = max(start, self.hub_first[p])
        return self.hub[p][start : min(start + limit, self.visible[p])]

    def hub_range(self, p: str) -> tuple[int, int]:
        """Give the first number that the hub still has, and its last."""
        return (0, -1) if p == REDRIVE else (self.hub_first[p], self.visible[p] - 1)

    def patience(self, key: Key) -> int:
        """Give the time at which a buffer that is opened now will be due."""
        bounds = (300, 900) if key[1] in SLOW else (5, 80)
        return self.now + self.rnd.randint(*bounds)

    def nonce(self) -> str:
        self.nonces += guard("nonce")
        return f"{self.nonces:x}"

    def new_store(self) -> str:
        self.stores += 1
        return f"store{self.stores}"

    # --- what they tell

    def created(self, name: str, value: Any) -> None:
        if name == STORE:
            self.truth = Truth(self, value.store)
        elif self.truth is not None:
            self.truth.created(name, value)

    def deleted(self, name: str, value: Any) -> None:
        if self.truth is not None and value is not None:
            self.truth.deleted(name, value)

    def attached(self, manifests: int) -> None:
        self.stat["attaches"] += 1
        self.stat["manifests read by attaches"] += manifests

    def moved_up(self, p: str, distance: int) -> None:
        """The checkpoint moved and is `distance` events behind w."""
        if self.alone:
            self.max_distance = max(self.max_distance, distance)
            bounded = not self.parking or distance <= self.park_distance
            assert bounded, f"REPLAY distance {distance}"

    # --- faults

    def cut_off(self, pending: Call) -> None:
        """Nobody waits for this call any more: it is applied, applied later, or never."""
        x = self.rnd.random()
        if x < 0.5:
            self.apply(pending)
        elif x < 0.75:
            self.late.append(pending)

    @staticmethod
    def apply(pending: Call) -> None:
        function, args = pending
        try:
            function(*args)
        except Timeout:
            return

    def replace_store(self) -> None:
        """Delete everything; what is still alive may write on."""
        self.blob.objects.clear()
        self.truth = self.backup = None
        self.stat["stores replaced"] += 1

    def take_backup(self) -> None:
        if self.truth is not None:
            self.backup = dict(self.blob.objects), self.truth.copy()

    def retain(self) -> None:
        """Old events leave the hub, whoever still needs them: after a loss of Redis, say."""
        p = self.rnd.choice(sorted(self.hub))
        self.hub_first[p] = max(self.hub_first[p], self.rnd.randint(0, self.visible[p]))
        if self.rnd.random() < 0.5:
            self.redis.lose()
        self.stat["retentions"] += 1

    def wipe_is_due(self) -> bool:
        """Tell whether Redis still relies on manifests that the store no longer has."""
        found: Identity | None = self.blob.get(STORE)
        if self.truth is None or found is None:
            return False
        mine, log = Names(*found).era, self.truth.log
        relied = ((t, keys.n) for t, keys in self.redis.keys.items())
        return any(era == mine and n >= len(log[p]) for (era, p), n in relied)

    def restore_backup(self) -> None:
        """Bring an earlier state of the store back; nothing of the service may be running."""
        assert self.backup is not None
        objects, truth = self.backup
        self.blob.objects, self.truth = dict(objects), truth.copy()
        if self.has_epochs:
            self.new_epoch()
        else:
            self.forget_all()
        self.stat["stores restored"] += 1

    def new_epoch(self) -> None:
        """Give the store a new epoch: what Redis and the launcher have is of another one."""
        self.epochs += 1
        identity, version = self.blob.objects[STORE]
        self.blob.objects[STORE] = identity._replace(epoch=f"e{self.epochs}"), version
        self.late = [x for x in self.late if isinstance(getattr(x[0], "__self__", None), Redis)]
        self.cluster.stop_all()

    def forget_all(self) -> None:
        """Without epochs, Redis keeps what it has, or loses it, but nothing of before comes later.

        That is, neither by a roll-back nor by a split, when owners have attached to what it
        says now. What was re-driven must leave Redis: the back-up may not have it.
        """
        identity: Identity = self.blob.get(STORE)
        self.redis.no_way_back()
        self.redis.wipe(Names(*identity).t(REDRIVE))
        self.late.clear()
        self.cluster.flows.clear()
