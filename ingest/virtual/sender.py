"""Puts a plan's messages into a hub through the SDK, and logs each one that the hub accepted."""

import asyncio
import contextlib
import itertools
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO, TypeVar

from azure.eventhub import EventData, EventDataBatch
from azure.eventhub.aio import EventHubProducerClient
from azure.eventhub.exceptions import EventHubError

from batching.errors import SettingError, Transient
from ingest.source import said
from ingest.virtual.plan import Message, Plan

TICK_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 5.0
PATIENCE = 12  # attempts, some 40 s
ANSWER_SECONDS = 20.0
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Sent:
    """What the hub has accepted so far."""

    events: int = 0
    samples: int = 0
    bytes: int = 0
    sensors: set[str] = field(default_factory=set)


class Sender:
    """Sends messages at a rate, each under its sensor's partition key or to given partitions.

    A `known` hub is there, even if it does not answer at first.
    """

    def __init__(
        self,
        connection_string: str,
        hub: str,
        *,
        partitions: Sequence[str] = (),
        log: Path | None = None,
        progress: Callable[[Sent], None] = lambda _: None,
        known: bool = False,
    ) -> None:
        self._client, self._known = _client(connection_string, hub), known
        self._partitions, self._log, self._progress = partitions, log, progress
        self.sent = Sent()

    async def send(
        self, plan: Plan, *, events: int | None, rate: float, stop: asyncio.Event
    ) -> Sent:
        """Send until `events` are sent or `stop`; `rate` is events a second, 0 for no limit.

        Raises:
            Transient: the hub did not accept a message for a while.

        """
        with _opened(self._log) as log:
            async with self._client:
                loop = asyncio.get_running_loop()
                began = loop.time()
                for group in _groups(plan, events, rate):
                    if stop.is_set():
                        break
                    await self._send_group(group, log)
                    self._progress(self.sent)
                    late = self.sent.events / rate - (loop.time() - began) if rate else 0
                    if late > 0:
                        await _wait(stop, late)
                await self._send_group(plan.left(), log)
        self._progress(self.sent)
        return self.sent

    async def _send_group(self, group: Iterable[Message], log: TextIO | None) -> None:
        by_sensor: dict[str, list[Message]] = {}
        for message in group:
            by_sensor.setdefault(message.sensor, []).append(message)
        for sensor, messages in by_sensor.items():
            await self._send_sensor(sensor, messages, log)

    async def _send_sensor(
        self, sensor: str, messages: Sequence[Message], log: TextIO | None
    ) -> None:
        """Send one sensor's messages, in as many AMQP batches as they need."""
        place = self._place(sensor)
        while messages:
            batch = await self._answered(partial(self._client.create_batch, **place))
            count = _fill(batch, messages)
            await self._answered(partial(self._client.send_batch, batch))
            self._note(messages[:count], log)
            messages = messages[count:]

    def _place(self, sensor: str) -> dict[str, Any]:
        """Keep a sensor in one partition: by its key, or by a choice among those given."""
        if not self._partitions:
            return {"partition_key": sensor}
        chosen = zlib.crc32(sensor.encode()) % len(self._partitions)
        return {"partition_id": self._partitions[chosen]}

    async def _answered(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeat a call while the hub is away; a message may then be in the hub twice.

        Of a hub that has not accepted anything yet the caller hears at once: its address may be
        wrong, unless it is known.
        """
        for attempt in itertools.count(1):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await call()
            except (EventHubError, OSError, TimeoutError) as error:
                if attempt >= PATIENCE or not (self._known or self.sent.events):
                    why = said(error) if str(error) else f"no answer within {ANSWER_SECONDS:.0f} s"
                    raise Transient(f"the hub does not accept events: {why}") from error
                await asyncio.sleep(min(0.2 * 2**attempt, LONGEST_WAIT_SECONDS))
        raise AssertionError

    def _note(self, messages: Sequence[Message], log: TextIO | None) -> None:
        for message in messages:
            self.sent.events += 1
            self.sent.samples += message.samples
            self.sent.bytes += len(message.body)
            self.sent.sensors.add(message.sensor)
        if log is not None:
            log.writelines(_line(message) for message in messages)
            log.flush()


def _client(connection_string: str, hub: str) -> EventHubProducerClient:
    try:
        return EventHubProducerClient.from_connection_string(
            connection_string, eventhub_name=hub, retry_total=2
        )
    except ValueError as error:  # the SDK's words may quote the key
        raise SettingError(
            "--to: expected an Event Hubs connection string, such as"
            " Endpoint=sb://<namespace>/;SharedAccessKeyName=<name>;SharedAccessKey=<key>"
        ) from error


def _fill(batch: EventDataBatch, messages: Sequence[Message]) -> int:
    """Add messages until the batch is full; give how many went in."""
    for count, message in enumerate(messages):
        try:
            batch.add(_event(message))
        except ValueError as error:
            if count == 0:
                raise SettingError(
                    f"message {message.id} of {len(message.body)} bytes is larger than the hub"
                    " takes: make chunks smaller with --chunk"
                ) from error
            return count
    return len(messages)


def _event(message: Message) -> EventData:
    event = EventData(message.body)
    event.message_id = message.id
    event.content_type = "application/json"
    return event


def _line(message: Message) -> str:
    plain: dict[str, Any] = {"id": message.id, "sensor": message.sensor, "samples": message.samples}
    if message.total is not None:
        plain["sum"] = message.total
    return json.dumps(plain) + "\n"


def _groups(plan: Plan, events: int | None, rate: float) -> Iterator[list[Message]]:
    """Cut the plan into what is sent at once."""
    messages = itertools.islice(plan.messages(), events)
    size = max(1, round(rate * TICK_SECONDS)) if rate else 100
    while group := list(itertools.islice(messages, size)):
        yield group


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("a", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--log {path}: cannot be written: {error.strerror}") from error
    with log:
        yield log


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
