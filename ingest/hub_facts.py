"""How a hub is reached, and what it says of itself: plain values, without the SDK.

Who only talks to a receiver (`ingest.receiver`) needs these and no more, and starts sooner.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batching.errors import Transient

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

ANSWER_SECONDS = 20.0


class SourceUnavailable(Transient):
    """The hub did not answer, or a link to it broke."""


@dataclass(frozen=True, slots=True)
class HubAddress:
    """How to reach the hub: a connection string, or a host name and a credential."""

    hub: str
    consumer_group: str
    connection_string: str | None = None
    namespace: str | None = None
    credential: "AsyncTokenCredential | None" = None


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What the hub says of itself."""

    created_ms: int
    partitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What the hub says of a partition: sequence numbers, -1 where it is empty."""

    first: int
    last: int
    empty: bool

    @property
    def oldest(self) -> int:
        """The lowest number that can still be read: where there is none, the next to come."""
        return self.last + 1 if self.empty else self.first
