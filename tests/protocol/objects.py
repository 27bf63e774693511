"""Names and values of what lies in the store, cut down to what the protocol needs."""

from dataclasses import dataclass
from typing import NamedTuple

from tests.protocol.guards import guard

STORE = "headrace.json"
Key = tuple[str, str]  # stream, sensor
DEAD: Key = ("_dead", "_")  # of every event that cannot be decoded


class Entry(NamedTuple):
    kind: str  # batch or parked
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


class Result(NamedTuple):
    store: str
    by: str


@dataclass(frozen=True)
class Names:
    """Names within the store of that id."""

    store: str

    @property
    def root(self) -> str:
        return self.store if guard("names carry store") else "any"

    def manifest(self, p: str, n: int) -> str:
        return f"{self.root}/log/{p}/{n:012d}"

    def data(self, stream: str, p: str, n: int, nonce: str) -> str:
        return f"{self.root}/data/{stream}/{p}/{n:012d}-{nonce}"

    def parked(self, p: str, n: int, nonce: str) -> str:
        return f"{self.root}/parked/{p}/{n:012d}-{nonce}"

    def position(self, p: str) -> str:
        return f"{self.root}/position/{p}"

    def run(self, job: str, n: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}"

    def attempt(self, job: str, n: int, k: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}.a{k}"

    def receipt(self, job: str, n: int, k: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}.a{k}.started"

    def failed(self, job: str, n: int) -> str:
        return f"{self.root}/runs/{job}/{n:012d}.failed"

    def run_position(self, job: str) -> str:
        return f"{self.root}/runs/{job}/position"

    def result(self, job: str, n: int) -> str:
        return f"{self.root}/results/{job}/{n:012d}"


def number_in(name: str) -> int:
    """Read the number that a name of a manifest or of data begins with."""
    return int(name.rsplit("/", 1)[1][:12])
