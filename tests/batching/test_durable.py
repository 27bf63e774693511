"""Data is there before it is named, also where the store says what is not true."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from batching import durable
from batching.adapters.folder import FolderStore
from batching.durable import write_data


class Mistaken(FolderStore):
    """A store behind a proxy that says "exists" of objects that it has not got."""

    lies = 2

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        if self.lies:
            self.lies -= 1
            return False
        return await super().create(name, parts)


@pytest.mark.parametrize("kind", [FolderStore, Mistaken])
def test_data_is_there_whatever_the_store_said(
    kind: type[FolderStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "AGAIN_SECONDS", 0.01)

    async def story() -> None:
        store = kind(tmp_path)
        try:
            await write_data(store, "data/a", [b"some", b"thing"])
            await write_data(store, "data/a", [b"some", b"thing"])  # our own, its answer lost
            assert await store.get("data/a") == b"something"
        finally:
            await store.close()

    with capture_logs() as logs:
        asyncio.run(story())
    assert len(logs) == (2 if kind is Mistaken else 0)
