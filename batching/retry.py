"""Every call of the protocol may be repeated, so it is, until it is answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from batching.errors import Transient
from batching.structured import structlog

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 5.0
Answer = TypeVar("Answer")
log = structlog.get_logger()


def heed_cancellation() -> None:
    """Raise the cancellation that a client has swallowed.

    `asyncio.wait_for` of Python 3.11 does that if what it waits for ends at the very moment of the
    cancellation (CPython issue 86296); redis-py sends each command through it, the Event Hubs SDK
    each frame. A task group cancels its tasks once, and would wait for the others for ever.

    Raises:
        CancelledError: this task has been cancelled, and works on.

    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def answered(
    call: Callable[[], Awaitable[Answer]], *, unless: tuple[type[Transient], ...] = ()
) -> Answer:
    """Repeat a call until the server answers, waiting longer each time, at most five seconds.

    Raises:
        Transient: one of those in `unless`, which the caller wants to know of.

    """
    wait, failures = FIRST_WAIT_SECONDS, 0
    while True:
        try:
            answer = await call()
        except unless:
            raise
        except Transient as error:
            heed_cancellation()
            failures += 1
            log.warning("server does not answer, trying again", why=str(error), failures=failures)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            heed_cancellation()
            if failures:
                log.info("server answers again", failures=failures)
            return answer
