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
from tests.protocol.objects import DEAD, STORE, Key
from tests.protocol.redis_model import Redis
from tests.protocol.truth import Truth

Event = tuple[int, tuple[Key, ...]]  # sequence number, the keys that it belongs to
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

    partitions = ("0", "1")
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
        self.max_distance, self.alone = 0, False
        self.draw_jobs()
        self.draw_hub(events)
        self.redis, self.cluster = redis(), Cluster(self)
        self.blob = Blob(self.created)
        self.truth: Truth | None = None
        self.stores = 0
        self.backup: tuple[Objects, Truth] | None = None

    def draw_jobs(self) -> None:
        rnd = self.rnd
        jobs = [
            Job(name, over, rnd.choice((1, 2, 4)), rnd.choice((2, 3, 9)), rnd.choice((0.02, 0.1)),
                rnd.random() < 0.2)
            for name, over in (("one", ("a",)), ("both", ("a", "b")), ("late", ("b",)))
        ]  # fmt: skip
        self.jobs = {job.name: job for job in jobs[:2]}
        self.late_job, self.late_job_at = jobs[2], rnd.randint(1, 3000)

    def draw_hub(self, events: int) -> None:
        rnd = self.rnd
        self.hub: dict[str, list[Event]] = {p: [] for p in self.partitions}
        self.true: dict[str, dict[Key, list[int]]] = {p: {} for p in self.partitions}
        self.visible = dict.fromkeys(self.partitions, 0)
        for p in self.partitions:
            routes = {sensor: rnd.choice(ROUTES) for sensor in SENSORS}
            for number in range(events):
                sensor = SENSORS[int(len(SENSORS) * rnd.random() ** 2)]
                keys = tuple((stream, sensor) for stream in routes[sensor])
                self.add_event(p, (number, (DEAD,) if rnd.random() < 0.04 else keys))

    def add_event(self, p: str, event: Event) -> None:
        self.hub[p].append(event)
        for key in event[1]:
            self.true[p].setdefault(key, []).append(event[0])

    # --- what processes ask for

    def receive(self, p: str, start: int, limit: int) -> list[Event]:
        return self.hub[p][start : min(start + limit, self.visible[p])]

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
            self.truth = Truth(self, value)
        elif self.truth is not None:
            self.truth.created(name, value)

    def attached(self, manifests: int) -> None:
        self.stat["attaches"] += 1
        self.stat["manifests read by attaches"] += manifests

    def moved_up(self, p: str, distance: int) -> None:
        """The checkpoint moved and is `distance` events behind w."""
        if self.alone and self.visible[p]:
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

    def wipe_is_due(self) -> bool:
        """Tell whether Redis still relies on manifests that the store no longer has."""
        if self.truth is None:
            return False
        mine, log = self.truth.names.store, self.truth.log
        relied = ((t, keys.n) for t, keys in self.redis.keys.items())
        return any(store == mine and n >= len(log[p]) for (store, p), n in relied)

    def restore_backup(self) -> None:
        """Bring an earlier state of the store back; nothing of the service may be running.

        Redis keeps what it has, or loses it; a state of before must not come back later, when
        owners have attached to what it says now, neither by a roll-back nor by a split.
        """
        assert self.backup is not None
        objects, truth = self.backup
        self.blob.objects, self.truth = dict(objects), truth.copy()
        self.redis.no_way_back()
        self.late.clear()
        self.cluster.flows.clear()
        self.stat["stores restored"] += 1
