"""Room for manifests in the making: never too much at once, in turn, and given back."""

import asyncio

import hypothesis.strategies as st
import pytest
from hypothesis import given

from batching.limits.making import PEEK_BYTES, SMALL_BYTES, Making

BOUND = 2 * PEEK_BYTES
sizes = st.integers(0, 2 * PEEK_BYTES)


@given(wanted=st.lists(sizes, max_size=12), yields=st.lists(st.integers(0, 3), min_size=12))
def test_no_more_is_made_at_once_than_the_bound_and_everybody_comes_in_order(
    wanted: list[int], yields: list[int]
) -> None:
    making, came = Making(BOUND), list[int]()
    taken = most = 0

    async def one(number: int) -> None:
        nonlocal taken, most
        async with making.room(lambda: wanted[number]) as room:
            came.append(number)
            size = room.size
            taken += size
            most = max(most, taken)
            assert SMALL_BYTES <= size <= PEEK_BYTES
            assert size >= min(wanted[number], PEEK_BYTES)
            for _ in range(yields[number]):
                await asyncio.sleep(0)
            taken -= size

    async def all_() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for number in range(len(wanted)):
                group.create_task(one(number))

    asyncio.run(all_())
    assert most <= BOUND
    assert came == list(range(len(wanted)))


def test_what_is_larger_than_the_bound_is_made_alone() -> None:
    async def story() -> None:
        making = Making(SMALL_BYTES // 2)
        async with making.room(lambda: PEEK_BYTES) as room:
            assert room.size == PEEK_BYTES
            second = asyncio.create_task(_taken(making))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not second.done()
        assert await second == SMALL_BYTES

    asyncio.run(story())


def test_who_is_told_to_end_while_waiting_or_working_leaves_room_for_others() -> None:
    async def story() -> None:
        making, inside = Making(PEEK_BYTES), asyncio.Event()

        async def holds() -> None:
            async with making.room(lambda: PEEK_BYTES):
                inside.set()
                await asyncio.Event().wait()

        first = asyncio.create_task(holds())
        await inside.wait()
        waiting = [asyncio.create_task(holds()) for _ in range(3)]
        await asyncio.sleep(0)
        inside.clear()
        for task in (*waiting[:2], first):
            task.cancel()
        await asyncio.gather(*waiting[:2], first, return_exceptions=True)
        async with asyncio.timeout(10):
            await inside.wait()  # the third
            waiting[2].cancel()
            assert await _taken(making) == SMALL_BYTES

    asyncio.run(story())


def test_what_is_wanted_is_asked_again_when_others_are_done() -> None:
    async def story() -> None:
        making, wanted = Making(PEEK_BYTES), [SMALL_BYTES]
        async with making.room(lambda: PEEK_BYTES):
            second = asyncio.create_task(_taken(making, wanted))
            for _ in range(10):
                await asyncio.sleep(0)
            wanted[0] = PEEK_BYTES
        assert await second == PEEK_BYTES

    asyncio.run(story())


def test_what_is_written_lets_another_begin_beside_it() -> None:
    async def story() -> None:
        making = Making(PEEK_BYTES)
        async with making.room(lambda: PEEK_BYTES) as room:
            half = asyncio.create_task(_taken(making, [PEEK_BYTES // 2]))
            await asyncio.sleep(0)
            assert not half.done()
            room.laid_out()
            assert await half == PEEK_BYTES // 2
            whole = asyncio.create_task(_taken(making, [PEEK_BYTES]))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not whole.done()
        assert await whole == PEEK_BYTES
        assert await _taken(making, [PEEK_BYTES]) == PEEK_BYTES

    asyncio.run(story())


@pytest.mark.parametrize("wanted", [-1, 0, 1])
def test_a_little_is_counted_as_no_less_than_what_the_rest_of_a_manifest_takes(wanted: int) -> None:
    assert asyncio.run(_taken(Making(), [wanted])) == SMALL_BYTES


async def _taken(making: Making, wanted: list[int] | None = None) -> int:
    async with making.room(lambda: (wanted or [0])[0]) as room:
        return room.size
