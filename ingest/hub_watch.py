"""Looks at the hub now and then: whether it is still the same, and whether it has grown."""

import asyncio
from collections.abc import Callable, Sequence

from batching.structured import structlog
from ingest.hub_facts import SourceUnavailable
from ingest.standing import Standing

log = structlog.get_logger()


class HubWatch:
    """Tells of partitions that were added since the start.

    Args:
        standing: asks the hub.
        partitions: those that are known.
        added: is told all partitions, in the hub's order, whenever there are more.
        interval_seconds: time between looks.

    """

    def __init__(
        self,
        standing: Standing,
        partitions: Sequence[str],
        added: Callable[[tuple[str, ...]], None],
        interval_seconds: float,
    ) -> None:
        self._standing, self._added = standing, added
        self._known, self._interval_seconds = frozenset(partitions), interval_seconds

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            WrongHub: the hub was created anew.

        """
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self.look()
            except SourceUnavailable as error:
                log.debug("hub does not answer", why=str(error))

    async def look(self) -> None:
        """Look once.

        Raises:
            SourceUnavailable: the hub did not answer.
            WrongHub: it was created anew.

        """
        partitions = (await self._standing.same_hub()).partitions
        if new := sorted(set(partitions) - self._known):
            log.info("partitions were added to the hub", partitions=new, count=len(partitions))
            self._known |= set(new)
            self._added(partitions)
