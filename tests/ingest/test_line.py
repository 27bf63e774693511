import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from ingest.line import Line, first_bytes


async def closed(*lines: Line) -> None:
    for line in lines:
        await line.close()


def play(story: Callable[[Line, Line], Awaitable[None]]) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        ends = await Line.over(one), await Line.over(other)
        await story(*ends)
        await closed(*ends)

    asyncio.run(main())


async def heard(line: Line) -> list[dict[str, Any]]:
    return [message async for message in line.messages()]


def test_messages_come_whole_and_in_order_however_large() -> None:
    async def story(one: Line, other: Line) -> None:
        sent = [{"n": n, "text": "ü" * size} for n, size in enumerate((0, 1, 3_000_000, 2))]
        listening = asyncio.create_task(heard(other))
        for message in sent:
            await one.send(message)
        await one.close()
        assert await listening == sent

    play(story)


def test_many_may_send_at_once() -> None:
    async def story(one: Line, other: Line) -> None:
        listening = asyncio.create_task(heard(other))
        sent = [{"n": n, "text": "x" * 200_000} for n in range(20)]
        await asyncio.gather(*map(one.send, sent))
        await one.close()
        found = await listening
        assert sorted(message["n"] for message in found) == list(range(20))
        assert {len(message["text"]) for message in found} == {200_000}

    play(story)


def test_half_a_message_is_none() -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        line = await Line.over(other)
        one.sendall(b"\0\0\0\x0a{}")
        one.close()
        assert await heard(line) == []
        await closed(line)

    asyncio.run(main())


def test_the_first_bytes_are_read_without_a_loop() -> None:
    one, other = socket.socketpair()

    async def send() -> None:
        line = await Line.over(one)
        await line.send_bytes(b"brief")
        await closed(line)

    asyncio.run(send())
    assert first_bytes(other) == b"brief"
    assert first_bytes(other) == b"", "and nothing comes after the end"
    other.close()
