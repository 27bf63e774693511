"""The first number for which something is true, where that is asked of a store."""

from collections.abc import Awaitable, Callable


async def first(low: int, end: int, true: Callable[[int], Awaitable[bool]]) -> int:
    """Find the first of low..end-1 for which it is true, as for all after it; `end` if none."""
    while low < end:
        middle = (low + end) // 2
        if await true(middle):
            end = middle
        else:
            low = middle + 1
    return low
