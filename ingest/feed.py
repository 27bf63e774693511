"""What a consumer asks of where its events come from: the hub, or the store for those re-driven."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from batching.partition import Partition
from ingest.event import Event
from ingest.hub_facts import HubFacts, PartitionFacts


class Feed(Protocol):
    """Gives a partition's events; each call may raise SourceUnavailable."""

    async def partition(self, partition: str) -> PartitionFacts:
        """Tell which numbers there are."""
        ...

    async def receive(
        self,
        partition: str,
        after: Callable[[], int],
        handler: Callable[[Sequence[Event]], Awaitable[None]],
        *,
        at_most: int | None = None,
    ) -> None:
        """Hand over lists of events after a number, until something is wrong.

        `at_most` bounds the events that are here and not through the handler.
        """
        ...

    async def renew(self) -> None:
        """Ask anew from now on: whatever answered until now has fallen silent."""
        ...


class HubFeed(Feed, Protocol):
    """A feed from the hub itself."""

    async def facts(self) -> HubFacts:
        """Tell which hub it is, and its partitions."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class Ground(Protocol):
    """Judges whether what was read still fits; each call may raise SourceUnavailable."""

    @property
    def skips(self) -> bool:
        """Whether `reconcile` may pass over events that are still there."""
        ...

    async def same_hub(self) -> object:
        """Make sure that the events still come from where they came from."""
        ...

    async def check(self, partition: str, acked: int) -> None:
        """Make sure that reading can go on behind a number."""
        ...

    async def reconcile(self, partition: str, owner: Partition) -> None:
        """Bring a new owner to where reading can go on."""
        ...
