"""What is kept alive beside the service ends with it, whatever becomes of a cancellation."""

import asyncio
from pathlib import Path

import pytest

from batching.adapters.embedded_valkey import EmbeddedValkey
from ingest import parts


class Deaf(EmbeddedValkey):
    """One whose look at the server swallows a cancellation, as redis-py's may on Python 3.11."""

    looks = 0

    async def start(self) -> str:
        self.looks += 1
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return self.url


def test_nobody_starts_the_embedded_server_again_once_the_service_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LOOK_SECONDS", 0.01)
    server = Deaf(tmp_path)

    async def story() -> None:
        async with parts._kept_alive(server):
            while not server.looks:  # noqa: ASYNC110 - there is nothing to wait for but that
                await asyncio.sleep(0.01)
        looks = server.looks
        await asyncio.sleep(0.1)
        assert server.looks == looks
        assert "valkey" not in {task.get_name() for task in asyncio.all_tasks()}

    asyncio.run(asyncio.wait_for(story(), 30))
