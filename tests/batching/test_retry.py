"""Calls are repeated until they are answered, and no longer than their task is wanted."""

import asyncio
import contextlib

import pytest

from batching.errors import StoreUnavailable
from batching.retry import answered


def test_a_call_is_repeated_until_it_is_answered() -> None:
    silent = iter([True, True, False])

    async def call() -> int:
        if next(silent):
            raise StoreUnavailable("no answer")
        return 7

    assert asyncio.run(answered(call)) == 7


@pytest.mark.parametrize("then_fails", [False, True])
def test_a_cancellation_that_a_client_has_swallowed_ends_the_task(*, then_fails: bool) -> None:
    """As redis-py does with Python 3.11, where a command has gone out at that very moment."""

    async def call() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
        if next(fails, False):
            raise StoreUnavailable("the connection is closed")

    fails = iter([then_fails])

    async def on_and_on() -> None:
        for _ in range(50):
            await answered(call)

    async def story() -> bool:
        task = asyncio.create_task(on_and_on())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(story())


def test_a_timeout_around_a_call_that_swallows_it_is_a_timeout_all_the_same() -> None:
    async def call() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    async def story() -> None:
        async with asyncio.timeout(0.01):
            await answered(call)

    with pytest.raises(TimeoutError):
        asyncio.run(story())
