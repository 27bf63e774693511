"""What must have happened before some failpoints can be passed at all."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tests.crash.cases import Case, Spec
from tests.crash.overtaken import ForgetfulHub
from tests.crash.place import Place
from tests.crash.served import Service
from tests.crash.site import PATIENCE_SECONDS, Site

LOST_WAVES, LOST_WAVE = 5, 50
Whole = Callable[[Service], Awaitable[None]]
Forget = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def hub_of(
    case: Case, place: Place, folder: Path, name: str
) -> AsyncIterator[tuple[str, Forget]]:
    """Give a case's hub, nearly always the one that all share, and what makes it forget."""
    if case.world != "overtaken":
        yield place.connection, _nothing
        return
    hub = ForgetfulHub(folder / "hub", name, case.partitions)
    await hub.start()
    try:
        yield hub.connection, hub.forget
    finally:
        await hub.close()


async def _nothing() -> None:
    pass


async def prepare(site: Site, whole: Whole, forget: Forget) -> None:
    """Bring about the world of a case; most need nothing."""
    if site.case.world == "rolled_back":
        await _roll_redis_back(site, whole)
    elif site.case.world == "restored":
        await _restore_the_store(site, whole)
    elif site.case.world == "overtaken":
        await _overtake(site, whole, forget)
    elif site.case.world == "parked_before":
        await _park(site)


async def _once_more(site: Site, whole: Whole) -> None:
    """Let a service batch a few events, and kill it."""
    await site.traffic.wave(site.case.waves[0])
    service = site.start()
    await whole(service)
    await site.kill(service)


async def _roll_redis_back(site: Site, whole: Whole) -> None:
    """Bring a Redis back in which buffers are open that were committed long ago."""
    await site.traffic.wave(site.case.waves[0])
    await site.ended(site.start(Spec("append.after", "kill")))
    copy = await site.place.snapshot(site.store_id)
    await _once_more(site, whole)
    await site.place.roll_back(site.store_id, copy)


async def _restore_the_store(site: Site, whole: Whole) -> None:
    """Bring the store back from a copy that is older than what Redis knows."""
    store, copy = str(site.folder / "blobs"), str(site.folder / "copy")
    await _once_more(site, whole)
    await _run("cp", "-a", store, copy)
    await _once_more(site, whole)
    await _run("rm", "-r", store)
    await _run("mv", copy, store)


async def _overtake(site: Site, whole: Whole, forget: Forget) -> None:
    """Let the hub drop what nobody has read."""
    await _once_more(site, whole)
    for _ in range(LOST_WAVES):
        await site.traffic.wave(LOST_WAVE)
    await forget()


async def _park(site: Site) -> None:
    """Leave parked pieces in front of open buffers."""
    service = site.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not site.parked_objects():
        assert time.monotonic() < deadline, "nothing was parked"
        await site.traffic.wave(8)
        await asyncio.sleep(0.5)
    await site.kill(service)
    await site.place.empty(site.store_id)  # else their buffers are there


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0
