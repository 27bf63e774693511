"""When a process is told to stop: once in order, a second time on the spot."""

import asyncio
import math
import os
import signal
from collections.abc import Callable

from batching.structured import structlog

SAME_SECONDS = 1.0  # a terminal and a supervisor may both pass on the same wish
log = structlog.get_logger()


def stop_on_signals(
    stop: asyncio.Event, again: Callable[[signal.Signals], None] = lambda _: None
) -> None:
    """SIGTERM from the kubelet and Ctrl-C both mean: drain, then leave; one later: `again`."""
    loop, first = asyncio.get_running_loop(), math.inf

    def told(name: signal.Signals) -> None:
        nonlocal first
        first = min(first, loop.time())
        if loop.time() - first > SAME_SECONDS:
            again(name)
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told, name)


def leave_at_once(name: signal.Signals) -> None:
    """End the process on the spot, as a kill would; whatever holds it up is not asked."""
    log.warning("told to stop again, leaving at once; the next start goes on here")
    os._exit(128 + name)  # as a shell says it
