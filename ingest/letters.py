"""Which dead letters a command means, found in the store that the service writes."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from batching.chunk import UNWRITABLE
from batching.errors import SettingError
from batching.identity import existing_store
from batching.letters import Letter, dead_letters
from batching.model import Store
from batching.names import REDRIVE
from batching.ports import BlobStore
from batching.redrive import RedriveLog
from batching.scope import Scoped
from batching.view import Log, partitions_of
from ingest.decode.problem import Reason
from ingest.since import since_ns

REASONS = (*(reason.value for reason in Reason), UNWRITABLE)


@dataclass(frozen=True)
class Wanted:
    """Letters that have all of this; what is empty matches everything."""

    places: tuple[tuple[str, int], ...] = ()
    partitions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    sensor: str | None = None
    since_ns: int = 0

    @property
    def everything(self) -> bool:
        """Tell whether nothing was said."""
        return self == Wanted()

    def takes(self, letter: Letter) -> bool:
        """Tell whether a letter is meant."""
        if self.places and (letter.partition, letter.number) not in self.places:
            return False
        if self.reasons and letter.letter.reason not in self.reasons:
            return False
        if self.streams and letter.stream not in self.streams:
            return False
        return self.sensor is None or fnmatchcase(letter.sender, self.sensor)


def wanted(
    places: Sequence[str] = (),
    *,
    partitions: Sequence[str] = (),
    reasons: Sequence[str] = (),
    streams: Sequence[str] = (),
    sensor: str | None = None,
    since: str | None = None,
) -> Wanted:
    """Read what was said on a command line.

    Raises:
        SettingError: an option cannot be read; the message says what it accepts.

    """
    for reason in reasons:
        if reason not in REASONS:
            raise SettingError(f"--reason {reason}: expected one of {', '.join(REASONS)}")
    return Wanted(
        tuple(place(text) for text in places),
        tuple(partitions),
        tuple(reasons),
        tuple(streams),
        sensor,
        0 if since is None else since_ns(since),
    )


def place(text: str) -> tuple[str, int]:
    """Read PARTITION/NUMBER.

    Raises:
        SettingError: it is something else.

    """
    partition, slash, number = text.rpartition("/")
    if not slash or not partition or not (number.isascii() and number.isdigit()):
        raise SettingError(f"{text}: expected PARTITION/NUMBER, such as 0/4711")
    return partition, int(number)


@dataclass(frozen=True)
class DeadLetters:
    """The dead letters of one store."""

    root: BlobStore
    identity: Store
    writer: str  # who re-drives

    @classmethod
    async def open(cls, root: BlobStore, writer: str) -> "DeadLetters":
        """Read whose store it is.

        Raises:
            SettingError: no service has written there.

        """
        return cls(root, await existing_store(root), writer)

    @property
    def redrives(self) -> RedriveLog:
        """Give what came back."""
        return RedriveLog(Scoped(self.root, self.identity.id), self.identity)

    async def find(self, wanted: Wanted, damaged: Callable[[str], None]) -> AsyncIterator[Letter]:
        """Read the letters that are meant, partition by partition.

        Raises:
            SettingError: there is no such partition.

        """
        store = Scoped(self.root, self.identity.id)
        known = await partitions_of(store, self.identity)
        for partition in _chosen(wanted, known):
            log = Log(self.root, store, self.identity, partition)
            numbers = frozenset(n for p, n in wanted.places if p == partition)
            async for letter in dead_letters(
                log, since_ns=wanted.since_ns, numbers=numbers, damaged=damaged
            ):
                if wanted.takes(letter):
                    yield letter


def _chosen(wanted: Wanted, known: Sequence[str]) -> list[str]:
    for partition in (*wanted.partitions, *(p for p, _ in wanted.places)):
        if partition not in (*known, REDRIVE):
            raise SettingError(
                f"partition {partition} is not in this store; known are {', '.join(known)}"
            )
    named = dict(wanted.places)
    chosen = wanted.partitions or known
    return [p for p in known if p in chosen and (not named or p in named)]
