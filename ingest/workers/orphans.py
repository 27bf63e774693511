"""Processes that their parents left to us, as the first process of a container inherits them.

A worker that dies leaves what it has started: the embedded hub, runs of flows. When these end,
somebody must take note, or they stay in the kernel's table and look alive to who waits for them.
"""

import asyncio
import os
from collections.abc import Callable, Collection

LOOK_SECONDS = 1.0
FIRST_PID = 1


async def reap_forever(known: Callable[[], Collection[int]]) -> None:
    """Take note of orphans that have ended; `known` names children that others wait for."""
    while os.getpid() == FIRST_PID:  # elsewhere the system's own first process does it
        reap(known())
        await asyncio.sleep(LOOK_SECONDS)


def reap(known: Collection[int]) -> None:
    """Take note of every child that has ended and that nobody waits for."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return  # in the latter case the rest in the next turn, once it is waited for
        os.waitpid(found.si_pid, 0)
