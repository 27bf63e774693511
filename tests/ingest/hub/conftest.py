"""Real hub servers on a loop of their own, and what tests do with the real SDK."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ingest.hub import HubServer, HubSettings
from tests.ingest.hub.sdk import finish


class Loop:
    """An asyncio loop in a thread, so that blocking clients can talk to a server here."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.stop()


@pytest.fixture(scope="session", autouse=True)
def _consumers_close() -> Iterator[None]:
    yield
    finish()


class Served:
    """A running server; `restart` gives the same hubs, data and port a new one."""

    def __init__(self, loop: Loop, hubs: Sequence[HubSettings], **options: Any) -> None:
        self._loop, self._hubs, self._options = loop, hubs, options
        self.server = HubServer(hubs, **options)
        self.port = loop.run(self.server.start())
        self._running = True

    def stop(self) -> None:
        if self._running:
            self._running = False
            self._loop.run(self.server.close())

    def restart(self) -> None:
        self.stop()
        self.server = HubServer(self._hubs, **(self._options | {"port": self.port}))
        self._loop.run(self.server.start())
        self._running = True

    def readers(self) -> int:
        """Count who reads partition 0 of telemetry."""
        return len(self.server._hubs["telemetry"].readers["$default", "0"])

    async def until_readers(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.readers() < count:  # noqa: ASYNC110 - they are on another loop
                await asyncio.sleep(0.02)

    def at(self, hub: str = "telemetry") -> str:
        return self.server.connection_string(hub)


Serve = Callable[..., Served]


@pytest.fixture
def serve(loop: Loop) -> Iterator[Serve]:
    """Start servers that end with the test: `serve(HubSettings("telemetry"), data=...)`."""
    with ExitStack() as stack:

        def start(*hubs: HubSettings, **options: Any) -> Served:
            served = Served(loop, hubs or [HubSettings("telemetry")], **options)
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "hub"
