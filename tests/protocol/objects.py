"""Names and values of what lies in the store, cut down to what the protocol needs."""

from typing import NamedTuple

from tests.protocol.guards import guard

STORE = "headrace.json"
Key = tuple[str, str]  # stream, sensor
DEAD: Key = ("_dead", "_")  # of every event that cannot be decoded
PARKED: Key = ("_parked", "_")
LOST: Key = ("_lost", "_")
ASKED, REFUSED = "asked", "refused"  # decisions for an attempt that somebody asked for
REDRIVE = "redrive"  # the partition of what comes back from the dead letters


class Identity(NamedTuple):
    """What headrace.json holds."""

    store: str
    epoch: str  # new whenever a back-up was brought in


class Entry(NamedTuple):
    kind: str  # batch, parked or lost
    key: Key
    first: int
    last: int
    events: int
    data: str = ""  # of a batch or of parked pieces
    used: tuple[int, ...] = ()  # listed again: the rows of its index that are still in use
    reason: str = ""  # of a loss: retention or skipped


class Piece(NamedTuple):
    """A line in the index of a parked object."""

    key: Key
    first: int
    last: int
    events: int
    due: int
    data: str


class Manifest(NamedTuple):
    log: str  # id of the store that it belongs to
    entries: tuple[Entry, ...]


class Position(NamedTuple):
    store: str
    checkpoint: int
    first: int


class RunRecord(NamedTuple):
    store: str
    start: dict[str, int]
    to: dict[str, int]
    batches: tuple[Entry, ...]
    opening: bool = False  # says only where the job starts


class RunPosition(NamedTuple):
    store: str
    settled: int
    asked: tuple[tuple[int, int], ...] = ()  # records below, and the attempt that is asked for


class Result(NamedTuple):
    store: str
    by: str


class Redriven(NamedTuple):
    store: str
    origins: tuple[tuple[str, int], ...]  # partition and number of each dead letter


class Names:
    """Names within the store of that id, and what else follows from identity."""

    def __init__(self, store: str, epoch: str = "") -> None:
        self.store, self.epoch = store, epoch
        self.root = store if guard("names carry store") else "any"
        self.era = f"{store}-{epoch}" if epoch and guard("epoch") else store  # in T and in runs

    def t(self, p: str) -> tuple[str, str]:
        return (self.era if guard("own T") else "any", p)

    def manifest(self, p: str, n: int) -> str:
        return f"{self.root}/log/{p}/{n:012d}"

    def data(self, stream: str, p: str, n: int, nonce: str) -> str:
        return f"{self.root}/data/{stream}/{p}/{n:012d}-{nonce}"

    def parked(self, p: str, n: int, nonce: str) -> str:
        return f"{self.root}/parked/{p}/{n:012d}-{nonce}"

    def redriven(self, first: int) -> str:
        return f"{self.root}/redrive/{first:012d}"

    def position(self, p: str) -> str:
        return f"{self.root}/position/{p}"

    def trimmed(self, p: str) -> str:
        return f"{self.root}/trimmed/{p}"

    def run(self, job: str, n: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}"

    def retired(self, job: str) -> str:
        return f"{self.root}/runs/{job}/retired"

    def attempt(self, job: str, n: int, k: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}.a{k}"

    def receipt(self, job: str, n: int, k: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}.a{k}.started"

    def failed(self, job: str, n: int, k: int) -> str:
        which = f".a{k}" if guard("own end") else ""
        return f"{self.root}/runs/{job}/{n:012d}{which}.failed"

    def run_position(self, job: str) -> str:
        return f"{self.root}/runs/{job}/position"

    def result(self, job: str, n: int) -> str:
        return f"{self.root}/results/{job}/{n:012d}"


def index_of(parked: str) -> str:
    """Name the index beside the content of a parked object."""
    return f"{parked}.index"


def number_in(name: str) -> int:
    """Read the number that a name of a manifest or of data begins with."""
    return int(name.rsplit("/", 1)[1][:12])
