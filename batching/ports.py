"""What batching asks of the world; adapters answer, tests substitute."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from batching.model import SealReason
from batching.names import Key


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds UTC since the epoch; somebody may set it at any moment."""
        ...

    def steady_ns(self) -> int:
        """Nanoseconds since some time; unlike wall time it never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class BlobStore(Protocol):
    """Objects by name under one root: a folder, or a container and prefix in Azure.

    A read sees every finished write. Each call raises StoreUnavailable when the store does
    not answer, is throttled or fails; the caller may repeat any of them.
    """

    @property
    def uri(self) -> str:
        """Where the root is: `file:///...` or `https://account/container/prefix`, no slash."""
        ...

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        ...

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object (shorter at its end); None if there is none."""
        ...

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet, from parts; False if it exists."""
        ...

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        ...

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read (None: there was none); None if somebody else did."""
        ...

    def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names that begin with `prefix` and sort after `after`, in order, unbounded."""
        ...

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


Stored = tuple[int, bytes]  # encoded chunks, from a byte of these on


class Appended(Enum):
    """What became of an append."""

    OK = "OK"
    GAP = "GAP"  # Redis is behind the caller: it lost something; attach again
    BEHIND = "BEHIND"  # Redis is ahead: somebody else, or our own call whose answer was lost


class Group(NamedTuple):
    """Events of one key within one append, and what the owner decided about them.

    They become one item of the key's open buffer. `bodies` are the encoded chunks, one after
    another. `believed` is the number of items that the owner thinks the buffer has (0: none is
    open), counted after `seal_before`; where that is wrong the script seals the buffer right
    after the push. `size_bytes` are those of the whole buffer, these and parked ones too.
    """

    key: Key
    first: int
    last: int
    bodies: Sequence[bytes]
    believed: int
    size_bytes: int
    state: bytes
    due_us: int  # microseconds UTC: fits a double without loss
    seal_before: SealReason | None = None
    seal_after: SealReason | None = None


@dataclass(frozen=True, slots=True)
class AppendAnswer:
    """Outcome, the number up to which Redis now has everything, keys sealed as `resync`."""

    outcome: Appended
    w: int
    resynced: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenBuffer:
    """What is known of an open buffer, parked events too, and the owner's opaque state."""

    key: Key
    items: int  # of its list, by which an append tells that it is as believed
    last: int
    size_bytes: int
    due_us: int
    state: bytes


@dataclass(frozen=True, slots=True)
class SealedBuffer:
    """One sealed buffer with its content, in the order in which it was appended."""

    k: int
    key: Key
    last: int
    due_us: int
    reason: SealReason
    sealed_us: int
    state: bytes
    elements: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Parkable:
    """One open buffer with its content, in the order in which it was appended."""

    open: OpenBuffer
    elements: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Shell:
    """What is known of an open buffer whose events are all parked."""

    key: Key
    last: int
    size_bytes: int
    due_us: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Released:
    """How many elements left, and how many items each of the buffers has now."""

    elements: int
    left: tuple[tuple[Key, int], ...]


@dataclass(frozen=True, slots=True)
class Low:
    """State for the checkpoint: `lo` is the lowest event not durable elsewhere, None if none."""

    w: int
    lo: int | None
    open: int  # buffers that are named as open
    sealed: int  # buffers waiting for their commit
    sealed_bytes: int
    first_sealed_us: int | None  # when the oldest of them was sealed
    manifest: int  # the highest one that all this relies on, -1 if none


class Buffer(Protocol):
    """Open and sealed buffers of one partition; each call is one script, one atomic step.

    Every call raises BufferUnavailable when the server does not answer; it may be repeated.
    `manifest` is the newest manifest of the caller's view: the highest one is kept, so that a
    store that was brought back from before it is noticed.
    """

    async def acknowledged(self) -> int:
        """Give the highest manifest number that what is here relies on, -1 if none."""
        ...

    async def wipe(self) -> None:
        """Drop every key of the partition; attach again afterwards. Always safe."""
        ...

    async def opened(self) -> list[OpenBuffer]:
        """List the open buffers."""
        ...

    async def attach(self, checkpoint: int, manifest: int = -1) -> int:
        """Raise w to the checkpoint, never lower it; give w."""
        ...

    async def append(
        self, prev: int, last: int, groups: Sequence[Group], manifest: int = -1
    ) -> AppendAnswer:
        """Add everything in (prev, last]; refused unless w equals prev.

        Raises:
            BufferFull: no memory; nothing was done, and the other calls still work.

        """
        ...

    async def seal_open(self, reason: SealReason, limit: int) -> tuple[Key, ...]:
        """Seal up to `limit` open buffers, those first that hold the oldest events."""
        ...

    async def seal_keys(self, reason: SealReason, keys: Sequence[Key]) -> tuple[Key, ...]:
        """Seal the open buffers of these keys; give those that there were."""
        ...

    async def low(self) -> Low:
        """Give w and what is not durable yet."""
        ...

    async def peek(self, max_bytes: int, max_buffers: int) -> list[SealedBuffer]:
        """Give the oldest sealed buffers with content, in order of k; at least one."""
        ...

    async def ack(self, done: Sequence[tuple[int, Key, int]], manifest: int) -> int:
        """Drop sealed buffers (k, key, last) if they are that key's and end <= last.

        `manifest` is remembered as the highest acknowledged. Gives how many were dropped.
        """
        ...

    async def forget(self, key: Key, upto: int, manifest: int = -1) -> None:
        """Drop an open buffer if it ends at or below `upto`."""
        ...

    async def parkable(self, upto: int, max_bytes: int, max_buffers: int) -> list[Parkable]:
        """Give open buffers with their content whose `lo` is at most `upto`, the lowest first.

        Stops at the first sealed buffer, so none may be given; else at least one.
        """
        ...

    async def release(self, durable: Sequence[tuple[Key, int]], manifest: int) -> Released:
        """Let elements of open buffers leave that end at or below a mark: (key, mark).

        Buffers stay open and keep what is known of them, `lo` moves above the mark or goes. Up
        to 1,000 a call.
        """
        ...

    async def restore(self, shells: Sequence[Shell]) -> tuple[Key, ...]:
        """Open buffers with one item and no content, up to 1,000 a call, where there are none.

        Gives the keys whose buffers were not there.
        """
        ...


class RunState(Enum):
    """What a launcher knows of a started run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GONE = "gone"  # it ended and was deleted, or never was


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One attempt to start: `name` follows from store, job, n and attempt."""

    name: str
    job: str
    n: int
    attempt: int
    flow: str
    record_uri: str  # the flow's only parameter
    covers: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # manifests, by partition
    priority: int = 0  # of its job, where the launcher has room for some only


class Launcher(Protocol):
    """Starts runs under names that follow from their records, so that none starts twice.

    Calls raise LauncherUnavailable when what they ask does not answer.
    """

    slots: int | None  # runs at once, of all jobs together; None: as many as jobs allow

    @property
    def problems(self) -> list[str]:
        """Say what keeps runs from starting or from being seen; nothing if all is well."""
        ...

    async def start(self, request: RunRequest) -> bool:
        """Start a run; False if one of that name exists or runs already.

        Raises:
            LauncherBusy: none can start now; nothing was started.
            LauncherRefused: none can start like this before an operator corrects something.

        """
        ...

    async def state(self, name: str) -> RunState:
        """Tell how a run stands."""
        ...

    def where(self, name: str, flow: str) -> dict[str, str]:
        """Tell where a person looks at a run: pages or files, by what shows them."""
        ...

    async def close(self) -> None:
        """Let go; running runs go on."""
        ...
