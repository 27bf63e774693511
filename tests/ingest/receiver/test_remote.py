"""The SDK in another process: the same answers and events, and its end is a hub that is away."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from azure.eventhub import EventData

from ingest.event import Event
from ingest.hub import Gate, HubServer, HubSettings
from ingest.hub_facts import HubAddress, SourceUnavailable
from ingest.receiver import remote
from ingest.receiver.brief import Brief
from ingest.receiver.remote import LISTS, RemoteSource
from ingest.source import Source
from tests.batching.adapters.local_stage import when
from tests.ingest.test_source import MANY, send, served
from tests.processes import alive

FAR = 60.0
Story = Callable[[HubServer, RemoteSource], Awaitable[None]]


async def nothing(_: Sequence[Event]) -> None:
    pass


def brief(server: HubServer, **changes: Any) -> Brief:
    address = HubAddress("telemetry", "$Default", server.connection_string("telemetry"))
    return replace(Brief(address, 1_000, 1_000, "json", "info"), **changes)


def play(story: Story, **changes: Any) -> None:
    async def main() -> None:
        async with served() as server:
            source = RemoteSource(brief(server, **changes))
            try:
                async with asyncio.timeout(FAR):
                    await story(server, source)
            finally:
                await source.close()

    asyncio.run(main())


class Taking:
    """A handler that keeps what comes, and may be held up."""

    def __init__(self, source: RemoteSource, **options: Any) -> None:
        self.lists: list[Sequence[Event]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._more = asyncio.Condition()
        self.task = asyncio.create_task(source.receive("0", lambda: -1, self._take, **options))

    @property
    def events(self) -> list[Event]:
        return [event for each in self.lists for event in each]

    async def _take(self, events: Sequence[Event]) -> None:
        async with self._more:
            self.lists.append(events)
            self._more.notify_all()
        await self.go_on.wait()

    async def until(self, count: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: len(self.events) >= count)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def numbered(server: HubServer, count: int) -> None:
    await send(server, *(EventData(str(number)) for number in range(count)))


def test_questions_are_answered_as_by_the_source_itself() -> None:
    async def story(server: HubServer, source: RemoteSource) -> None:
        await numbered(server, 3)
        near = Source(brief(server).address)
        assert await source.facts() == await near.facts()
        assert await source.partition("0") == await near.partition("0")
        assert (await source.partition("0")).last == 2
        await near.close()

    play(story)


def test_every_event_comes_once_in_order_and_in_plain_values() -> None:
    async def story(server: HubServer, source: RemoteSource) -> None:
        sent = EventData(b"body")
        sent.message_id, sent.content_type = "id-1", "application/json"
        sent.properties = {"kind": "vibration", "size": 3, "raw": b"\xff"}
        await send(server, sent)
        await numbered(server, MANY)
        taking = Taking(source)
        await taking.until(MANY + 1)
        await taking.end()
        first, *others = taking.events
        assert isinstance(first, Event)
        assert first.properties == {"kind": "vibration", "size": 3, "raw": "\ufffd"}
        assert (first.message_id, first.content_type, first.body) == (
            "id-1",
            "application/json",
            b"body",
        )
        assert [event.sequence_number for event in others] == list(range(1, MANY + 1))
        assert [event.body for event in others] == [str(n).encode() for n in range(MANY)]

    play(story)


def test_no_more_is_here_than_the_caller_bears() -> None:
    most = 80

    async def story(server: HubServer, source: RemoteSource) -> None:
        await numbered(server, 10 * most)
        taking = Taking(source, at_most=most)
        taking.go_on.clear()
        await taking.until(1)
        life = source._life
        assert life is not None
        (inbox,) = life._inboxes.values()
        await when(lambda: inbox.qsize() == LISTS - 1)
        await asyncio.sleep(0.5)  # more would come now
        assert len(taking.lists) + inbox.qsize() == LISTS
        assert max(map(len, taking.lists)) <= most / 4
        taking.go_on.set()
        await taking.until(10 * most)
        await taking.end()

    play(story)


def test_what_the_handler_raises_ends_the_link() -> None:
    class Fault(Exception):
        pass

    async def refuse(_: Sequence[Event]) -> None:
        raise Fault

    async def story(server: HubServer, source: RemoteSource) -> None:
        await numbered(server, 3)
        with pytest.raises(Fault):
            await source.receive("0", lambda: -1, refuse)
        taking = Taking(source)
        await taking.until(3)
        await taking.end()

    play(story)


def test_a_hub_that_refuses_is_heard_in_its_own_words() -> None:
    async def story() -> None:
        async with HubServer([HubSettings("telemetry", 1)], gate=Gate("a2V5")) as server:
            wrong = server.connection_string("telemetry").replace("a2V5", "b3RoZXI=")
            address = HubAddress("telemetry", "$Default", wrong)
            source = RemoteSource(brief(server, address=address))
            try:
                with pytest.raises(SourceUnavailable, match=r"InvalidSignature: the token was"):
                    await source.facts()
                with pytest.raises(SourceUnavailable, match="the link to the hub broke"):
                    await source.receive("0", lambda: -1, nothing)
            finally:
                await source.close()

    asyncio.run(story())


def test_a_process_that_dies_is_a_hub_that_is_away_and_the_next_question_has_a_new_one() -> None:
    async def story(server: HubServer, source: RemoteSource) -> None:
        await numbered(server, 3)
        taking = Taking(source)
        await taking.until(3)
        first = source.pid
        assert first is not None
        asking = asyncio.create_task(source.partition("0"))
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(SourceUnavailable, match="receiver has ended, with exit code -9"):
            await taking.task
        with suppress(SourceUnavailable):  # it may have been answered just before
            await asking
        assert (await source.partition("0")).last == 2
        assert source.pid not in (first, None)
        again = Taking(source)
        await again.until(3)
        await again.end()

    play(story)


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(_: HubServer, source: RemoteSource) -> None:
        await source.facts()
        first = source.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.5)
        with pytest.raises(SourceUnavailable, match="did not answer, and was ended"):
            await source.facts()
        assert not alive(first)
        monkeypatch.undo()
        await source.facts()

    play(story)


def test_whoever_renews_has_a_new_process() -> None:
    async def story(server: HubServer, source: RemoteSource) -> None:
        await numbered(server, 1)
        taking = Taking(source)
        await taking.until(1)
        first = source.pid
        await source.renew()
        with pytest.raises(SourceUnavailable):
            await taking.task
        await source.facts()
        assert source.pid != first

    play(story)


def test_one_that_was_closed_starts_no_more() -> None:
    async def story(_: HubServer, source: RemoteSource) -> None:
        await source.facts()
        await source.close()
        with pytest.raises(SourceUnavailable, match="closed"):
            await source.facts()
        assert source.pid is None

    play(story)


def test_one_that_cannot_start_is_a_hub_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MODULE", "ingest.nowhere")

    async def story(_: HubServer, source: RemoteSource) -> None:
        with pytest.raises(SourceUnavailable, match="receiver has ended"):
            await source.facts()

    play(story)


def test_it_ends_with_its_parent() -> None:
    parent = textwrap.dedent(
        """
        import asyncio, os, signal, sys
        from ingest.receiver.brief import Brief
        from ingest.receiver.remote import RemoteSource
        from ingest.hub_facts import HubAddress

        async def main():
            address = HubAddress("telemetry", "$Default", sys.argv[1])
            source = RemoteSource(Brief(address, 10, 10, "json", "info"))
            await source.facts()
            print(source.pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """
    )

    async def story(server: HubServer, _: RemoteSource) -> None:
        connection = server.connection_string("telemetry")
        command = (sys.executable, "-c", parent, connection)
        run = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await run.communicate()
        assert run.returncode == -signal.SIGKILL
        pid = int(said.split()[-1])
        await when(lambda: not alive(pid))

    play(story)
