"""A hub of a case's own that forgets soon: what it drops while the service is down is lost."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from ingest.hub import HubServer, HubSettings, Retention

SEGMENT_BYTES = 2_000  # retention drops whole segments
LOOK_SECONDS = 2.5  # the hub looks once a second
ENOUGH_SECONDS = 60.0
ALL = Retention(segment_bytes=SEGMENT_BYTES)
LITTLE = Retention(max_bytes=6 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)


@dataclass
class ForgetfulHub:
    """Runs in the driver's own loop, and begins to forget when it is told to."""

    data: Path
    name: str
    partitions: int

    async def start(self, retention: Retention = ALL, port: int = 0) -> None:
        """Listen."""
        settings = HubSettings(self.name, self.partitions, retention=retention)
        self._server = HubServer([settings], data=self.data, port=port)
        await self._server.start()

    @property
    def connection(self) -> str:
        return self._server.connection_string()

    async def forget(self) -> None:
        """Start again with a small memory, and wait until nothing more goes."""
        port = self._server.port
        await self._server.close()
        await self.start(LITTLE, port)
        deadline, seen = time.monotonic() + ENOUGH_SECONDS, -1
        while seen < self._forgotten():
            seen = self._forgotten()
            assert time.monotonic() < deadline
            await asyncio.sleep(LOOK_SECONDS)
        assert seen > 0, "the hub still has everything"

    def _forgotten(self) -> int:
        return sum(part.first for part in self._server._hubs[self.name].partitions)

    async def close(self) -> None:
        await self._server.close()
