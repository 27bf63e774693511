"""Where the hub stands against the log: still the same hub, not behind, and what it has dropped.

Numbers of a partition have no gaps. So whatever lies between what was appended and the hub's
oldest event is gone, and the log must say so before anybody goes on behind it.
"""

import asyncio

from batching import names
from batching.errors import PositionLost, Reattach, WrongHub
from batching.model import LostReason, Store
from batching.partition import Partition
from batching.structured import structlog
from ingest.feed import HubFeed
from ingest.hub_facts import HubFacts, PartitionFacts
from ingest.metrics import IngestMetrics
from ingest.settings.source import OnLostPosition

LOOK_AGAIN_SECONDS = (0.5, 1.0, 2.0, 4.0)  # what a hub says of its end may be a moment old
log = structlog.get_logger()


class Standing:
    """Asks the hub, and judges its answers by the store. Each call may raise SourceUnavailable."""

    def __init__(
        self, source: HubFeed, identity: Store, metrics: IngestMetrics, on_lost: OnLostPosition
    ) -> None:
        self._source, self._identity = source, identity
        self._metrics, self._on_lost = metrics, on_lost

    @property
    def skips(self) -> bool:
        """Whether a position that is lost makes us go on with new events only."""
        return self._on_lost == "latest"

    async def same_hub(self) -> HubFacts:
        """Make sure that the hub is the one that the store was filled from; give its facts.

        Raises:
            WrongHub: it was created anew.

        """
        facts, identity = await self._source.facts(), self._identity
        if names.hub_id(identity.namespace, identity.hub, facts.created_ms) != identity.hub_id:
            raise WrongHub(
                f"source: hub {identity.hub} was created anew while the service ran, and numbers"
                " from zero again: give the new hub a store of its own (another blobs.folder, or"
                " blobs.azure.prefix) and start again; the old store stays complete as it is"
            )
        return facts

    async def check(self, partition: str, acked: int) -> None:
        """Make sure that reading can go on behind number `acked`.

        Raises:
            Reattach: the hub no longer has the next number: `reconcile` writes that down.
            WrongHub: the hub was created anew, or its numbers began anew.

        """
        facts = await self._judged(partition, acked)
        if facts.oldest > acked + 1:
            raise Reattach(f"the hub no longer has numbers {acked + 1} to {facts.oldest - 1}")

    async def reconcile(self, partition: str, owner: Partition) -> None:
        """Let the log say what the hub no longer has, and go on behind it, as the setting says.

        Raises:
            Reattach: Redis lost something meanwhile.
            WrongHub: the hub was created anew, or its numbers began anew.
            PositionLost: something is gone, and the setting is to stop.

        """
        facts = await self._judged(partition, owner.acked)
        while facts.oldest > owner.acked + 1:
            await self._lose(partition, owner, facts)

    async def _judged(self, partition: str, acked: int) -> PartitionFacts:
        """Ask about a partition of a hub that is the same, and not behind what was read of it."""
        asked = asyncio.create_task(self._source.partition(partition))
        try:
            await self.same_hub()  # beside it: each answer takes the SDK half a second
            facts = await asked
        finally:
            asked.cancel()
        for seconds in LOOK_AGAIN_SECONDS:
            if facts.last >= acked:
                return facts
            await asyncio.sleep(seconds)
            facts = await self._source.partition(partition)
        if facts.last < acked:
            raise WrongHub(
                f"source: partition {partition} of hub {self._identity.hub} ends at number"
                f" {facts.last}, but {acked} was read from it: its numbers began anew, or an older"
                " copy of the hub was brought in. Going on would mix two numberings: give this"
                " hub a store of its own (another blobs.folder, or blobs.azure.prefix)"
            )
        return facts

    async def _lose(self, partition: str, owner: Partition, facts: PartitionFacts) -> None:
        first, last, reason = owner.acked + 1, facts.oldest - 1, LostReason.RETENTION
        if self._on_lost == "stop":
            raise PositionLost(
                f"source: partition {partition}: the hub no longer has numbers {first} to {last}."
                " Nothing was passed over. To go on without them, set on_lost_position: earliest"
                " (with the oldest event that the hub has) or latest (with new ones)"
            )
        if self._on_lost == "latest":
            last, reason = max(last, facts.last), LostReason.SKIPPED
        partly = owner.view.reaches(first)
        if await owner.lose(last, reason):
            self._metrics.lost.labels(reason.value).inc(last - first + 1)
            log.error(
                "events are lost: the hub dropped them before they were read",
                first=first,
                last=last,
                events=last - first + 1,
                reason=reason.value,
                at_most=partly,  # some may be in batches from before Redis was lost; verify knows
            )
