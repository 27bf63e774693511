"""A receiver that is started ahead: at work while its parent is busy, and gone with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingest.config import Settings
from ingest.hub import HubServer, HubSettings
from ingest.hub_facts import SourceUnavailable
from ingest.opening import Begun, begun
from tests.processes import alive, modules

STREAMS = {"motion": {"decode": {"format": "json", "time": {"unit": "ms"}, "channels": ["x"]}}}
EMBEDDED: dict[str, Any] = {"embedded": {}}


def settings(source: dict[str, Any], process: str = "own") -> Settings:
    receive = {"process": process}
    return Settings.model_validate({"source": source, "streams": STREAMS, "receive": receive})


def away() -> dict[str, Any]:
    """A hub that nobody serves."""
    connection = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;"
    connection += "UseDevelopmentEmulator=true"
    return {"event_hubs": {"hub": "telemetry", "connection_string": connection}}


@asynccontextmanager
async def served() -> AsyncIterator[dict[str, Any]]:
    """A hub, as settings name it."""
    async with HubServer([HubSettings("telemetry", 3)], port=0) as server:
        connection = server.connection_string("telemetry")
        yield {"event_hubs": {"hub": "telemetry", "connection_string": connection}}


def pid_of(receiver: Begun | None) -> int:
    assert receiver is not None
    assert receiver.source.pid is not None
    return receiver.source.pid


def test_the_first_question_is_put_before_the_parent_holds_up_its_loop() -> None:
    async def story() -> None:
        async with served() as source, begun(settings(source)) as receiver:
            assert receiver is not None
            assert receiver.source._life is not None
            assert len(receiver.source._life._inboxes) == 1, "it is put, and waits for its answer"
            assert (await receiver.facts).partitions == ("0", "1", "2")
            assert (await receiver.source.partition("2")).empty

    asyncio.run(story())


def test_it_ends_with_whoever_began_it_also_when_something_fails_meanwhile() -> None:
    async def story() -> None:
        async with served() as source:
            found: list[int] = []

            async def fail() -> None:
                async with begun(settings(source)) as receiver:
                    found.append(pid_of(receiver))
                    assert alive(found[0])
                    raise RuntimeError

            with pytest.raises(RuntimeError):
                await fail()
            assert not alive(found[0])
            async with begun(settings(source)) as receiver:
                pid = pid_of(receiver)
            assert not alive(pid), "nor does it wait for an answer"

    asyncio.run(story())


def test_a_hub_that_is_away_is_told_by_the_first_answer() -> None:
    async def story() -> None:
        async with begun(settings(away())) as receiver:
            assert receiver is not None
            with pytest.raises(SourceUnavailable):
                await receiver.facts

    asyncio.run(story())


@pytest.mark.parametrize(
    ("source", "process"), [(away(), "same"), (EMBEDDED, "own"), (EMBEDDED, "same")]
)
def test_nothing_is_begun_where_there_is_no_receiver_or_no_address_yet(
    source: dict[str, Any], process: str
) -> None:
    async def story() -> None:
        async with begun(settings(source, process)) as receiver:
            assert receiver is None

    asyncio.run(story())


def test_settings_are_read_without_what_only_decoding_needs() -> None:
    """They are read before anything else can start, and by every command."""
    program = "import sys; from ingest.config import load; load(None, {}); print(*sys.modules)"
    loaded = modules(program)
    assert "ingest.settings.checks" in loaded
    assert not loaded & {"numpy", "pyarrow", "redis", "aiohttp", "azure", "simdjson"}


def test_a_service_whose_receiver_is_apart_does_not_load_the_sdk() -> None:
    program = "import sys, ingest.cli.run, ingest.service, ingest.opening; print(*sys.modules)"
    loaded = modules(program)
    assert "ingest.service" in loaded
    assert not loaded & {"azure", "aiohttp"}, "the port comes while others are waited for"
