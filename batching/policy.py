"""When a batch is sealed: one pure function, handed everything it may look at.

The owner of a partition calls it for each chunk; Redis only keeps the state that it gives
back. A decision can never lose or double an event, it only makes batches smaller or larger.
"""

import struct
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from batching.errors import SettingError
from batching.model import SealReason

_STATE = struct.Struct("<BqII")
_VERSION = 2
_OLDER = struct.Struct("<Bqqqqq")  # of parked pieces that version 1 wrote


@dataclass(frozen=True, slots=True)
class SealPolicy:
    """Triggers of one stream; None switches one off, except max_bytes.

    A batch is sealed as soon as it holds `max_samples` samples or `max_chunks` chunks (the
    last chunk may take it over), before a chunk would take it over `max_bytes`, and when
    the first of its events is `max_age_ns` old.
    """

    max_samples: int | None = 100_000
    max_bytes: int = 8 * 2**20
    max_chunks: int | None = None
    max_age_ns: int | None = 300 * 10**9

    def __post_init__(self) -> None:
        """Check that each trigger can fire."""
        for name in ("max_samples", "max_bytes", "max_chunks", "max_age_ns"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingError(f"{name} must be above zero, got {value}")


class BatchState(NamedTuple):
    """What triggers count of one open batch; what Redis does not tell, as opaque bytes.

    `opened_ns` is the enqueued time of its first event, `due_ns` when its age ends it (the
    largest int64: never).
    """

    samples: int
    size_bytes: int
    chunks: int
    opened_ns: int
    due_ns: int

    def pack(self) -> bytes:
        """Encode for the buffer what its size and due time leave open."""
        samples, _, chunks, opened_ns, _ = self
        return _STATE.pack(_VERSION, opened_ns, samples, chunks)

    @classmethod
    def unpack(cls, raw: bytes, size_bytes: int, due_ns: int) -> "BatchState":
        """Read back what `pack` wrote, with what the buffer tells."""
        if raw[0] == _VERSION:
            _, opened_ns, samples, chunks = _STATE.unpack(raw)
        else:
            _, samples, _, chunks, opened_ns, _ = _OLDER.unpack(raw)
        return cls(samples, size_bytes, chunks, opened_ns, due_ns)


NEVER_NS = 2**63 - 1
Decision = tuple[SealReason | None, BatchState, SealReason | None]
_state = partial(tuple.__new__, BatchState)  # a third of the time of BatchState(...)


def decide(
    state: BatchState | None,
    policy: SealPolicy,
    samples: int,
    size_bytes: int,
    enqueued_ns: int,
) -> Decision:
    """Decide where batches end around one chunk.

    Args:
        state: the open batch of the chunk's sensor, None if there is none.
        policy: the stream's triggers.
        samples: of the chunk.
        size_bytes: of the chunk, encoded.
        enqueued_ns: when the hub got its event, nanoseconds UTC.

    Returns:
        Why the open batch is sealed first (None: it is not), the state of the batch that
        holds the chunk, and why that one is sealed at once (None: it stays open).

    """
    before = None
    if state is not None:
        held, held_bytes, chunks, opened, due = state
        if enqueued_ns > due:  # a backlog gives the batches that live traffic gave
            before = SealReason.MAX_AGE
        elif held_bytes + size_bytes > policy.max_bytes:
            before = SealReason.MAX_BYTES
        else:
            samples, size_bytes, chunks = held + samples, held_bytes + size_bytes, chunks + 1
            state = _state((samples, size_bytes, chunks, opened, due))
            return None, state, _ends_after(samples, size_bytes, chunks, policy)
    age = policy.max_age_ns
    due = NEVER_NS if age is None else enqueued_ns + age
    state = _state((samples, size_bytes, 1, enqueued_ns, due))
    return before, state, _ends_after(samples, size_bytes, 1, policy)


def continued(
    state: BatchState | None,
    policy: SealPolicy,
    samples: int,
    size_bytes: int,
    chunks: int,
    first_ns: int,
    latest_ns: int,
) -> BatchState | None:
    """Give the state behind some chunks if none of them ends a batch; None if one may.

    What `decide` says of each in turn, in the time of one: most appends end no batch.

    Args:
        state: the open batch of the chunks' sensor, None if there is none.
        policy: the stream's triggers.
        samples: of all chunks, one at least.
        size_bytes: of all chunks, encoded.
        chunks: how many they are.
        first_ns: when the hub got the first one's event, nanoseconds UTC.
        latest_ns: the latest of all those times.

    """
    if state is not None:
        held, held_bytes, held_chunks, first_ns, due = state
        samples, size_bytes, chunks = held + samples, held_bytes + size_bytes, held_chunks + chunks
    else:
        due = NEVER_NS if policy.max_age_ns is None else first_ns + policy.max_age_ns
    if latest_ns > due or _ends_after(samples, size_bytes, chunks, policy) is not None:
        return None
    return _state((samples, size_bytes, chunks, first_ns, due))


def _ends_after(
    samples: int, size_bytes: int, chunks: int, policy: SealPolicy
) -> SealReason | None:
    if policy.max_samples is not None and samples >= policy.max_samples:
        return SealReason.MAX_SAMPLES
    if size_bytes >= policy.max_bytes:
        return SealReason.MAX_BYTES
    if policy.max_chunks is not None and chunks >= policy.max_chunks:
        return SealReason.MAX_CHUNKS
    return None
