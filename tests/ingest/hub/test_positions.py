"""Where the SDK's consumers may start; all start at once, and each test looks at one of them."""

import asyncio
import datetime as dt
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from ingest.hub import HubServer, HubSettings
from tests.ingest.hub.conftest import Loop
from tests.ingest.hub.sdk import bodies, receive, receive_blocking, run, send

GROUPS = tuple("abcdefgh")  # one for each, since five may read a partition in one group
Heard = dict[str, list[str]]


@pytest.fixture(scope="module")
def heard(loop: Loop) -> Iterator[Heard]:
    """What consumers with different starts received of the events a to f, and g a bit later."""
    server = HubServer([HubSettings("telemetry", partitions=1, groups=GROUPS)])
    loop.run(server.start())
    yield run(_hear(server.connection_string("telemetry")))
    loop.run(server.close())


async def _hear(hub: str) -> Heard:
    await send(hub, "abcde")
    await asyncio.sleep(0.01)
    moment = dt.datetime.now(dt.UTC)
    await asyncio.sleep(0.01)
    await send(hub, "f")
    events = await receive(hub, 6)
    _, _, c, *_ = events
    number, offset = c.sequence_number, c.offset
    latest = asyncio.create_task(receive(hub, 1, starting_position="@latest"))
    at = {"starting_position_inclusive": True}
    ways: dict[str, Coroutine[Any, Any, Any]] = {
        "behind an offset": receive(hub, 3, starting_position=offset, group="a"),
        "at an offset": receive(hub, 4, starting_position=offset, **at, group="b"),
        "behind a number": receive(hub, 3, starting_position=number, group="c"),
        "at a number": receive(hub, 4, starting_position=number, **at, group="d"),
        "at a time": receive(hub, 1, starting_position=moment, group="e"),
        "by partition": receive(hub, 3, starting_position={"0": number}, group="f"),
        "in another group": receive(hub, 6, group="g"),
        "blocking": asyncio.to_thread(receive_blocking, hub, 3, starting_position=number),
    }
    got = await asyncio.gather(*ways.values())
    await send(hub, "g")
    everything = {"from the first": events, "latest": await latest}
    everything |= dict(zip(ways, got, strict=True))
    return {way: bodies(heard) for way, heard in everything.items()}


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("from the first", "abcdef"),
        ("behind an offset", "def"),
        ("at an offset", "cdef"),
        ("behind a number", "def"),
        ("at a number", "cdef"),
        ("at a time", "f"),
        ("by partition", "def"),
        ("blocking", "def"),
        ("latest", "g"),
        ("in another group", "abcdef"),
    ],
)
def test_a_consumer_that_starts(heard: Heard, start: str, wanted: str) -> None:
    assert heard[start] == list(wanted)
