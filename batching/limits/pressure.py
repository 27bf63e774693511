"""When more is held than may be: which open batches are sealed early, and when the intake waits.

Pure: values in, names out. Held is what lies in Redis for this process, open and sealed. Sealing
makes nothing smaller by itself, a commit does; so open batches are sealed until what stays open
leaves room for what comes, and the intake waits until the commits have made that room.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from batching.errors import SettingError
from batching.names import Key

HIGH, LOW = 0.8, 0.6  # shares of a bound: above the one, batches are sealed down to the other
BATCH_BYTES = 640  # what Redis takes for a batch beside its bytes: a key, names in sorted sets


class Limit(StrEnum):
    """Why the intake waits; log lines and metric labels share it with the settings."""

    OPEN_BYTES = "open_bytes"
    SEALED_BYTES = "sealed_bytes"
    OPEN_SENSORS = "open_sensors"
    IN_FLIGHT = "in_flight_events"
    REDIS_FULL = "redis_full"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may hold, over all its partitions.

    `open_bytes` and `open_sensors` count encoded bytes and batches in Redis, open ones and
    sealed ones that wait for their manifest; `sealed_bytes` only the latter; `in_flight_events`
    those received and not appended.
    """

    open_bytes: int = 512 * 2**20
    open_sensors: int = 200_000
    in_flight_events: int = 50_000
    sealed_bytes: int = 6 * 2**20

    def __post_init__(self) -> None:
        """Check that something fits."""
        for name in ("open_bytes", "open_sensors", "in_flight_events", "sealed_bytes"):
            if getattr(self, name) <= 0:
                raise SettingError(f"limits.{name} must be above zero, got {getattr(self, name)}")

    def divided(self, processes: int) -> "Bounds":
        """Give what each of so many processes may hold, so that all keep to it together."""
        return Bounds(
            max(1, self.open_bytes // processes),
            max(1, self.open_sensors // processes),
            max(1, self.in_flight_events // processes),
            max(1, self.sealed_bytes // processes),
        )


class Amount(NamedTuple):
    """Encoded bytes, and batches that hold them (of one sensor each)."""

    size_bytes: int = 0
    batches: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Give both together."""
        return Amount(self.size_bytes + other.size_bytes, self.batches + other.batches)


class Open(NamedTuple):
    """One open batch, as far as the decision needs it; `opened_ns` is its first event's time."""

    partition: str
    key: Key
    size_bytes: int
    opened_ns: int


_SIZE, _OPENED = attrgetter("size_bytes"), attrgetter("opened_ns")


def within(bounds: Bounds, redis_bytes: int | None) -> Bounds:
    """Lower bounds to what a Redis with so much memory can take; None: nobody knows how much.

    Half for bytes (lists take up to a quarter more than what lies in them, and calls and the
    append-only file have buffers), a quarter for what each batch takes beside its bytes.
    """
    if redis_bytes is None:
        return bounds
    return replace(
        bounds,
        open_bytes=max(1, min(bounds.open_bytes, redis_bytes // 2)),
        open_sensors=max(1, min(bounds.open_sensors, redis_bytes // 4 // BATCH_BYTES)),
    )


def binding(held: Amount, sealed: Amount, wanted: Amount, bounds: Bounds) -> Limit | None:
    """Name the bound that `wanted` would exceed beside what is held; None if it may come.

    Something larger than a bound comes when nothing else is held. What an append will seal is
    not known here, so that the bound on what is sealed may be exceeded by that.

    Args:
        held: all that is open, sealed or coming.
        sealed: of that, what waits for its manifest.
        wanted: what is to be appended.
        bounds: of the process.

    """
    if held.batches == 0:
        return None
    if sealed.size_bytes > bounds.sealed_bytes:
        return Limit.SEALED_BYTES
    if held.size_bytes + wanted.size_bytes > bounds.open_bytes:
        return Limit.OPEN_BYTES
    if held.batches + wanted.batches > bounds.open_sensors:
        return Limit.OPEN_SENSORS
    return None


def strained(held: Amount, bounds: Bounds) -> bool:
    """Tell whether high water is reached: then `chosen` says what to seal."""
    return _above(HIGH, held, bounds)


def relievable(still_open: Amount, bounds: Bounds) -> bool:
    """Tell whether what is open alone is above low water, without a look at each batch."""
    return _above(LOW, still_open, bounds)


def _above(share: float, held: Amount, bounds: Bounds) -> bool:
    return held.size_bytes > share * bounds.open_bytes or held.batches > share * bounds.open_sensors


def chosen(found: Iterable[Open], wanted: Amount, bounds: Bounds) -> Sequence[Open]:
    """Choose the open batches to seal, so that the rest and `wanted` are at low water.

    Args:
        found: all open batches of the process.
        wanted: what is about to be appended.
        bounds: of the process.

    Returns:
        The oldest ones while there are too many, then the largest ones while they are too
        large; none if the open ones are below low water already: then it is the store that is
        slow, and small batches would not help.

    """
    rest, sealing = list(found), list[Open]()
    excess = len(rest) + wanted.batches - int(LOW * bounds.open_sensors)
    if excess > 0:
        rest = _by_age(rest)
        sealing, rest = rest[:excess], rest[excess:]
    size = sum(map(_SIZE, rest))
    return [*sealing, *_largest(rest, size + wanted.size_bytes - int(LOW * bounds.open_bytes))]


def _by_age(found: Iterable[Open]) -> list[Open]:
    """Sort the oldest first, heavier ones first among equals.

    Twice by one field, since there may be a million: pairs take three times as long to compare.
    """
    return sorted(sorted(found, key=_SIZE, reverse=True), key=_OPENED)


def _largest(found: Sequence[Open], excess: int) -> list[Open]:
    """Give the largest until they make up the excess, older ones first among equals."""
    if excess <= 0:
        return []
    taken = []
    for each in sorted(sorted(found, key=_OPENED), key=_SIZE, reverse=True):
        if excess <= 0:
            break
        taken.append(each)
        excess -= each.size_bytes
    return taken
