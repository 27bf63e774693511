"""What goes wrong during a soak, at random, and is over before the next thing goes wrong."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

from tests.soak.site import Site

Fault = Callable[[Site, random.Random], Awaitable[None]]


async def service_killed(site: Site, rng: random.Random) -> None:
    """Kill -9, and a start a little later."""
    await site.end("one", signal.SIGKILL)
    await asyncio.sleep(rng.uniform(0.0, 3.0))
    site.start("one")


async def service_stopped(site: Site, rng: random.Random) -> None:
    """SIGSTOP until its partitions are free, then SIGCONT: a zombie."""
    service = site.services["one"]
    service.send_signal(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(2.0, 8.0))
    service.send_signal(signal.SIGCONT)


async def valkey_killed(site: Site, rng: random.Random) -> None:
    """Kill -9 of the server; the service starts it again."""
    del rng
    if (pid := await site.valkey_pid()) is not None:
        os.kill(pid, signal.SIGKILL)


async def valkey_emptied(site: Site, rng: random.Random) -> None:
    """FLUSHALL, and no script is known any more."""
    del rng
    if await site.valkey_pid() is not None:
        async with await site.valkey() as client:
            await client.flushall()
            await client.script_flush()


async def hub_restarted(site: Site, rng: random.Random) -> None:
    """Kill -9 of the hub, and a start on the same files."""
    del rng
    await site.restart_hub()


async def second_comes_and_goes(site: Site, rng: random.Random) -> None:
    """Let a second instance take its share, and leave in order or not."""
    site.start("two")
    await asyncio.sleep(rng.uniform(6.0, 12.0))
    await site.end("two", rng.choice((signal.SIGTERM, signal.SIGKILL)))


FAULTS: dict[str, Fault] = {
    "service killed": service_killed,
    "service stopped": service_stopped,
    "valkey killed": valkey_killed,
    "valkey emptied": valkey_emptied,
    "hub restarted": hub_restarted,
    "second instance": second_comes_and_goes,
}
