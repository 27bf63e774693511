"""Every call of the protocol may be repeated, so it is, until it is answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from batching.errors import Transient

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.05, 5.0
Answer = TypeVar("Answer")
log = structlog.get_logger()


async def answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call until the server answers, waiting longer each time, at most five seconds."""
    wait, failures = FIRST_WAIT_SECONDS, 0
    while True:
        try:
            answer = await call()
        except Transient as error:
            failures += 1
            log.warning("server does not answer, trying again", why=str(error), failures=failures)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            if failures:
                log.info("server answers again", failures=failures)
            return answer
