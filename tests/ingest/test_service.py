"""A service of this process: how it ends where something fails."""

import asyncio
from pathlib import Path

import pytest

from batching import failpoints
from batching.failpoints import FailpointError
from ingest.config import load
from ingest.service import serve
from tests.processes import alive

FAR = 60.0


pytestmark = pytest.mark.usefixtures("nothing_armed_afterwards")


def test_a_service_that_fails_is_asked_no_more_before_its_parts_are_closed(tmp_path: Path) -> None:
    """Its port stayed, and who asked then started a receiver that nobody waited for."""
    there: list[bool] = []  # whether Redis was, each time the front was closed

    class Front:
        async def start(self) -> int:
            return 0

        async def close(self) -> None:
            there.append(alive(int((tmp_path / "valkey" / "valkey.pid").read_text())))

    async def story() -> None:
        async with asyncio.timeout(FAR):
            await serve(settings, asyncio.Event(), front=lambda *_: Front())

    settings = load(None, {"HEADRACE_DATA": str(tmp_path)})
    failpoints.arm("attach.log=raise")
    with pytest.raises(ExceptionGroup) as failed:
        asyncio.run(story())
    assert failed.group_contains(FailpointError)
    assert there == [True]
