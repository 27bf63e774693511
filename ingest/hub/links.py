"""Sessions and links: credit, windows, deliveries, and who may read a partition."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from ingest.hub.amqp import Described, Symbol, Timestamp
from ingest.hub.faults import Mishaps
from ingest.hub.frames import (
    TRANSFER_BYTES,
    Detach,
    Disposition,
    Flow,
    Transfer,
    error,
    frame,
    transfer_head,
)
from ingest.hub.hub import Address, Hub, Refused
from ingest.hub.messages import DELIVERY, MAX_MESSAGE_BYTES, section, with_delivery_annotations
from ingest.hub.partition_log import PartitionLog

WINDOW = 2**31 - 1
CREDIT = 1_000
SLICE_EVENTS = 500
MAX_READERS = 5
_ID = 2**32


class Wire(Protocol):
    """What a link asks of its connection."""

    max_frame_bytes: int
    paused: bool
    closed: bool

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...


class Session:
    """A session: its links by handle, and how many transfers the client takes."""

    def __init__(self, wire: Wire, channel: int, next_incoming_id: int, window: int) -> None:
        self.wire = wire
        self.channel = channel
        self.next_incoming_id = next_incoming_id
        self.next_outgoing_id = 0
        self.window = window
        self.links: dict[int, Link] = {}

    def flow(self, flow: Flow) -> None:
        """Take the client's window: as many transfers from its next id on."""
        theirs = (flow.next_incoming_id or 0) + flow.incoming_window
        self.window = _distance(theirs, self.next_outgoing_id)

    def sent(self, frames: int) -> None:
        """Count transfer frames."""
        self.next_outgoing_id = (self.next_outgoing_id + frames) % _ID
        self.window -= frames

    def state(self, **link: Any) -> bytes:
        """Write a flow frame with our windows."""
        ours = (self.next_incoming_id % _ID, WINDOW, self.next_outgoing_id, WINDOW)
        return frame(self.channel, Flow(*ours, **link))


def _distance(ahead: int, behind: int) -> int:
    """Subtract numbers that wrap at 32 bits."""
    apart = (ahead - behind) % _ID
    return apart - _ID if apart >= _ID // 2 else apart


class Link:
    """One end of a link; `path` is what tokens must cover."""

    def __init__(self, session: Session, handle: int, name: str, path: str) -> None:
        self.session = session
        self.handle = handle
        self.name = name
        self.path = path
        self.count = 0
        self.credit = 0
        self.closed = False

    def detach(self, reason: Described | None = None) -> None:
        """End the link from our side."""
        answer = Detach(self.handle, closed=True, error=reason)
        self.session.wire.write(frame(self.session.channel, answer))
        self.end()

    def end(self) -> None:
        """Forget the link."""
        self.closed = True
        self.session.links.pop(self.handle, None)


class InLink(Link):
    """A client's producer: parts become messages, messages are settled, credit is renewed."""

    def __init__(
        self,
        session: Session,
        handle: int,
        name: str,
        path: str,
        take: Callable[[bytes, int], Described],
    ) -> None:
        super().__init__(session, handle, name, path)
        self.credit = CREDIT
        self._take = take
        self._parts: list[bytes] = []
        self._first: Transfer | None = None
        self._size_bytes = 0

    def transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Take a part; with the last one the message is handed on and its fate told."""
        if self._first is None:
            self._first, self._parts, self._size_bytes = transfer, [], 0
        self._size_bytes += len(payload)
        if self._size_bytes <= MAX_MESSAGE_BYTES:  # of one too large the parts are dropped
            self._parts.append(payload)
        if transfer.aborted:
            self._first = None
        elif not transfer.more:
            self._finish(self._first)

    def _finish(self, first: Transfer) -> None:
        self._first = None
        self.count += 1
        self.credit -= 1
        if self._size_bytes > MAX_MESSAGE_BYTES:
            text = f"{self._size_bytes} bytes; a message may have {MAX_MESSAGE_BYTES}"
            fate = Described(0x25, [error("amqp:link:message-size-exceeded", text)])
        else:
            fate = self._take(b"".join(self._parts), first.message_format or 0)
        self._parts = []
        if not first.settled:
            number = first.delivery_id or 0
            told = Disposition(role=True, first=number, last=number, settled=True, state=fate)
            self.session.wire.write(frame(self.session.channel, told))
        if self.credit < CREDIT // 2 and not self.closed:
            self.credit = CREDIT
            self.give_credit()

    def give_credit(self) -> None:
        """Let the client send on."""
        count = self.count % _ID
        told = self.session.state(handle=self.handle, delivery_count=count, link_credit=self.credit)
        self.session.wire.write(told)


class OutLink(Link):
    """A client's consumer of a partition, or where it gets answers from."""

    def __init__(self, session: Session, handle: int, name: str, path: str) -> None:
        super().__init__(session, handle, name, path)
        self._delivery = 0
        self._drain = False

    def flow(self, flow: Flow) -> None:
        """Take the client's credit."""
        theirs = (flow.delivery_count or 0) + (flow.link_credit or 0)
        self.credit = max(0, _distance(theirs, self.count % _ID))
        self._drain = bool(flow.drain)
        self.pump()
        if flow.echo:
            self._tell()

    def pump(self) -> None:
        """Send what there is."""
        self._drained()

    def _drained(self) -> None:
        """Nothing is left to send: use up the credit if the client wants it back."""
        if self._drain and self.credit:
            self.count += self.credit
            self.credit = 0
            self._tell()

    def _tell(self) -> None:
        count = self.count % _ID
        told = self.session.state(
            handle=self.handle, delivery_count=count, link_credit=self.credit, drain=self._drain
        )
        self.session.wire.write(told)

    def send(self, messages: list[bytes]) -> None:
        """Write messages, settled; one that is larger than a frame goes in several."""
        out: list[bytes] = []
        room = self.session.wire.max_frame_bytes - TRANSFER_BYTES
        channel, frames = self.session.channel, 0
        for message in messages:
            number = self._delivery = (self._delivery + 1) % _ID
            if len(message) <= room:
                out += (transfer_head(channel, self.handle, number, len(message)), message)
                frames += 1
            else:
                parts = self._parts(number, message, room - TRANSFER_BYTES)
                out += parts
                frames += len(parts)
        self.count += len(messages)
        self.credit -= len(messages)
        self.session.sent(frames)
        self.session.wire.write(b"".join(out))

    def _parts(self, number: int, message: bytes, room: int) -> list[bytes]:
        parts = []
        for start in range(0, len(message), room):
            head = Transfer(
                self.handle,
                delivery_id=number,
                delivery_tag=number.to_bytes(4, "big"),
                message_format=0,
                settled=True,
                more=start + room < len(message),
                batchable=False,
            )
            parts.append(frame(self.session.channel, head, message[start : start + room]))
        return parts


class Reader(OutLink):
    """A consumer: follows its partition as credit, window and socket allow."""

    def __init__(
        self, session: Session, handle: int, name: str, path: str, hub: Hub, address: Address
    ) -> None:
        super().__init__(session, handle, name, path)
        self.owner_level: int | None = None
        self.tells_last = False
        self.partition: PartitionLog = hub.partition(address.partition or "")
        self.next, self._began = 0, -1
        self._mishaps = Mishaps(hub.settings.faults)
        self._peers = hub.readers[(address.group or "").lower(), self.partition.name]
        self._scheduled = False

    def enter(self) -> None:
        """Take a place among the readers of the partition, by owner level.

        Raises:
            Refused: a reader with a higher level is there, or five without one.

        """
        levels = [peer.owner_level for peer in self._peers if peer.owner_level is not None]
        if levels and (self.owner_level is None or self.owner_level < max(levels)):
            raise Refused(
                "amqp:link:stolen",
                f"Receiver with owner level {max(levels)} already exists; one with "
                f"{'none' if self.owner_level is None else self.owner_level} cannot be created.",
            )
        if self.owner_level is not None:
            for peer in list(self._peers):
                text = f"A receiver with owner level {self.owner_level} took over from this one."
                peer.detach(error("amqp:link:stolen", text))
        elif len(self._peers) >= MAX_READERS:
            raise Refused(
                "amqp:resource-limit-exceeded",
                f"{MAX_READERS} receivers without owner level read this partition with this "
                "consumer group already; that is the maximum.",
            )
        self._peers.append(self)

    def end(self) -> None:
        """Forget the link."""
        super().end()
        if self in self._peers:
            self._peers.remove(self)

    def wake(self) -> None:
        """Go on in a moment: what arrives within one turn of the loop is sent at once."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Send a slice, then let others have their turn."""
        self._scheduled = False
        wire = self.session.wire
        count = min(self.credit, self.session.window, SLICE_EVENTS)
        if self.closed or wire.closed or wire.paused or count <= 0:
            return  # a flow or the socket wakes it again
        messages = self._slice(count)
        if not messages:
            self._drained()
            return  # an append wakes it again
        if self.tells_last:
            facts = self._facts()
            messages = [with_delivery_annotations(message, facts) for message in messages]
        self.send(messages)
        if self._mishaps.drops():
            self.detach(error("amqp:link:detach-forced", "a fault that the hub was asked for"))
            return
        self.wake()

    def _slice(self, count: int) -> list[bytes]:
        """Read what comes next; if the hub was asked for that fault, some of it once more."""
        if self._began < 0:
            self._began = self.next
        again = self._mishaps.back() if self.partition.next > self.next else 0
        first, messages = self.partition.read(max(self._began, self.next - again), count)
        self.next = max(self.next, first + len(messages))
        return messages

    def _facts(self) -> bytes:
        """Describe the partition's end, for `track_last_enqueued_event_properties`."""
        info = self.partition.info
        return section(
            DELIVERY,
            {
                Symbol("last_enqueued_sequence_number"): info.last,
                Symbol("last_enqueued_offset"): info.last_offset,
                Symbol("last_enqueued_time_utc"): Timestamp(info.last_ms),
                Symbol("runtime_info_retrieval_time_utc"): Timestamp(time.time_ns() // 1_000_000),
            },
        )
