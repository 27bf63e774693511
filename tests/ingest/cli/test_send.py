"""`headrace send` to a real hub, and what it says where it cannot."""

import asyncio
import gc
import json
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest.embedded_hub import EmbeddedHub
from ingest.hub_facts import HubAddress
from ingest.settings.source import EmbeddedHub as HubSettings
from ingest.source import Source
from ingest.virtual import sender
from tests.ingest.cli.conftest import Headrace

CLOSED = (
    "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey=hunter2;"
    "UseDevelopmentEmulator=true"
)
FAST = ("--rate", 0, "--quiet")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of a hub of four partitions, a process of its own."""
    made = EmbeddedHub(tmp_path_factory.mktemp("hub"), HubSettings(partitions=4))
    connection = asyncio.run(made.start())
    yield connection
    asyncio.run(made.stop())


def held(connection: str) -> list[int]:
    """Count the events in each partition."""

    async def ask() -> list[int]:
        source = Source(HubAddress("telemetry", "$Default", connection))
        try:
            facts = [await source.partition(str(p)) for p in range(4)]
        finally:
            await source.close()
        return [fact.last - fact.first + 1 if not fact.empty else 0 for fact in facts]

    return asyncio.run(ask())


def test_what_the_hub_accepted_is_logged_and_nothing_else(
    headrace: Headrace, hub: str, tmp_path: Path
) -> None:
    before, log = sum(held(hub)), tmp_path / "new/senders.jsonl"
    words = ("send", "--to", hub, "--events", 150, "--garbage", 0.05, "--repeated", 0.1, *FAST)
    said = headrace(*words, "--log", log)
    assert said.code == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == sum(held(hub)) - before >= 150
    assert f"sent {len(lines)} events" in said.err
    assert max(Counter(line["id"] for line in lines).values()) == 2
    assert all(("sum" in line) == (line["samples"] > 0) for line in lines)


def test_events_go_to_the_partitions_asked_for(headrace: Headrace, hub: str) -> None:
    before = held(hub)
    partitions = ("--partition", 1, "--partition", 3)
    said = headrace("send", "--to", hub, "--events", 60, *partitions, "--sensors", 20, *FAST)
    assert said.code == 0
    more = [now - then for now, then in zip(held(hub), before, strict=True)]
    assert more[0] == more[2] == 0
    assert min(more[1], more[3]) > 0


def test_a_chunk_larger_than_the_hub_takes_is_told(
    headrace: Headrace, hub: str, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.npz"
    np.savez(wide, wide=np.random.default_rng(0).normal(size=(100, 60)))
    words = ("send", "--to", hub, "--recording", wide, "--chunk", "5000,0", "--events", 3, *FAST)
    said = headrace(*words)
    assert said.code == 2
    assert "make chunks smaller with --chunk" in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--to", "nonsense"), "--to: expected an Event Hubs connection string"),
        (("--to", "Endpoint=sb://x"), "--to: expected an Event Hubs connection string"),
        (("--to", CLOSED, "--chunk", "many"), "--chunk many: expected MEDIAN"),
        (("--to", CLOSED, "--chunk", "0"), "--chunk: expected a median of at least 1"),
        (("--to", CLOSED, "--late", "2"), "--late: expected a share from 0 to 1"),
        (("--to", CLOSED, "--recording", "none.csv"), "--recording none.csv: no such file"),
        (("--to", CLOSED, "--log", "/dev/null/x"), "--log /dev/null/x: cannot be written"),
        (("--to", CLOSED, "--sensors", "0"), "--sensors"),
    ],
)
def test_wrong_options_are_named(headrace: Headrace, words: tuple[str, ...], why: str) -> None:
    said = headrace("send", "--events", 1, "--quiet", *words)
    assert said.code == 2
    assert why in said.err
    assert "hunter2" not in said.out + said.err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's socket
def test_a_partition_that_is_not_there_is_told(headrace: Headrace, hub: str) -> None:
    said = headrace("send", "--to", hub, "--partition", 99, "--events", 1, *FAST)
    gc.collect()  # the SDK leaves its broken socket to the collector: here, not in another test
    assert said.code == 2
    assert "the hub does not accept events" in said.err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's socket
def test_a_host_that_says_nothing_is_given_up_at_once(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_at = CLOSED.replace(":1;", f":{silent.getsockname()[1]};")
        said = headrace("send", "--to", silent_at, "--events", 1, *FAST)
    gc.collect()
    assert said.code == 2
    assert "the hub does not accept events: no answer within 0 s" in said.err
