"""One client's connection: signs in, opens sessions, attaches links, and ends without harm."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

from batching.structured import structlog
from ingest.hub.amqp import CodecError, Described, Symbols
from ingest.hub.frames import (
    ACCEPTED,
    AMQP_HEADER,
    EMPTY_FRAME,
    MAX_FRAME_BYTES,
    SASL_HEADER,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Frame,
    FrameReader,
    FramingError,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
    error,
    frame,
)
from ingest.hub.hub import Address, Hub, Refused
from ingest.hub.links import WINDOW, InLink, Link, OutLink, Reader, Session
from ingest.hub.management import CBS, MANAGEMENT, Desk
from ingest.hub.messages import MAX_MESSAGE_BYTES
from ingest.hub.partition_log import SelectorError
from ingest.hub.tokens import Gate, Grants, path_of

log = structlog.get_logger(__name__)

IDLE_SECONDS = 240.0
_HIGH_WATER_BYTES = 2**20
_MAX_CHANNEL = 255
_MAX_HANDLE = 255
_MIN_FRAME_BYTES = 512
_MECHANISMS = Symbols(("ANONYMOUS", "MSSBCBS", "EXTERNAL"))
_OWNER_LEVEL = "com.microsoft:epoch"
_TELLS_LAST = "com.microsoft:enable-receiver-runtime-metric"


class Connection(asyncio.Protocol):
    """Speaks AMQP with one client; what goes wrong here ends this connection alone."""

    def __init__(self, find: Callable[[str], Hub], gate: Gate, alive: "set[Connection]") -> None:
        self.max_frame_bytes = _MIN_FRAME_BYTES
        self.paused = False
        self.closed = False
        self._find = find
        self._grants = Grants(gate)
        self._desk = Desk(find, self._grants)
        self._alive = alive
        self._reader = FrameReader()
        self._sessions: dict[int, Session] = {}
        self._opened = False
        self._heard = self._spoke = time.monotonic()
        self._sign_of_life_seconds: float | None = None
        self._handlers: dict[type, Callable[[int, Any, bytes], None]] = {
            SaslInit: self._sasl,
            Open: self._open,
            Begin: self._begin,
            Attach: self._attach,
            Flow: self._flow,
            Transfer: self._transfer,
            Disposition: self._disposition,
            Detach: self._detach,
            End: self._end,
            Close: self._close,
        }

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free what the client held."""
        del exc
        self.closed = True
        self._alive.discard(self)
        for session in self._sessions.values():
            for link in list(session.links.values()):
                link.end()

    def pause_writing(self) -> None:
        """Wait for a slow client."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self.paused = False
        for session in self._sessions.values():
            for link in list(session.links.values()):
                if isinstance(link, OutLink):
                    link.pump()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self.closed:
            self._spoke = time.monotonic()
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Answer what came."""
        self._heard = time.monotonic()
        try:
            for piece in self._reader.feed(data):
                if self.closed:
                    return
                if isinstance(piece, bytes):
                    self._header(piece)
                elif piece.performative is not None:
                    self._dispatch(piece)
        except FramingError as broken:
            self.end(error("amqp:connection:framing-error", str(broken)))
        except (CodecError, Refused) as broken:
            self.end(error("amqp:decode-error", str(broken)))
        except Exception:
            log.exception("connection failed")
            self.end(error("amqp:internal-error", "the hub failed; its log says why"))

    def end(self, reason: Described | None) -> None:
        """Close from our side; a client takes `amqp:connection:forced` as a hint to come back."""
        if self.closed:
            return
        if self._opened:
            self.write(frame(0, Close(reason)))
        self.closed = True
        self._transport.close()

    def abort(self) -> None:
        """Drop a client that does not take what is left to send."""
        self._transport.abort()

    def check(self) -> None:
        """Once a second: say that we are alive, notice the dead, end links without a token."""
        now = time.monotonic()
        if now - self._heard > 2 * IDLE_SECONDS:
            self.end(error("amqp:resource-limit-exceeded", "nothing was heard for long"))
        elif self._sign_of_life_seconds and now - self._spoke > self._sign_of_life_seconds:
            self.write(EMPTY_FRAME)
        for session in self._sessions.values():
            for link in list(session.links.values()):
                if not link.path.startswith("$") and not self._grants.allow(link.path):
                    link.detach(_unauthorized(link.path))

    # What the client says

    def _header(self, header: bytes) -> None:
        if header == SASL_HEADER:
            self.write(SASL_HEADER + frame(0, SaslMechanisms(_MECHANISMS)))
        elif header == AMQP_HEADER:
            self.write(AMQP_HEADER)
        else:
            self.write(AMQP_HEADER)
            raise FramingError("AMQP 1.0 is spoken here")

    def _dispatch(self, came: Frame) -> None:
        kind = type(came.performative)
        if kind not in self._handlers or (not self._opened and kind not in (Open, SaslInit)):
            raise FramingError(f"{kind.__name__.lower()} does not belong here")
        self._handlers[kind](came.channel, came.performative, came.payload)

    def _sasl(self, _channel: int, _init: SaslInit, _payload: bytes) -> None:
        self.write(frame(0, SaslOutcome(0)))

    def _open(self, _channel: int, theirs: Open, _payload: bytes) -> None:
        asked = theirs.max_frame_size or MAX_FRAME_BYTES
        self.max_frame_bytes = max(_MIN_FRAME_BYTES, min(asked, MAX_FRAME_BYTES))
        if theirs.idle_time_out:
            self._sign_of_life_seconds = theirs.idle_time_out / 2_000
        self._opened = True
        ours = Open(
            "headrace-hub",
            max_frame_size=MAX_FRAME_BYTES,
            channel_max=_MAX_CHANNEL,
            idle_time_out=int(IDLE_SECONDS * 1000),
        )
        self.write(frame(0, ours))

    def _begin(self, channel: int, theirs: Begin, _payload: bytes) -> None:
        if channel > _MAX_CHANNEL or channel in self._sessions:
            raise FramingError(f"channel {channel} cannot begin")
        self._sessions[channel] = Session(
            self, channel, theirs.next_outgoing_id, theirs.incoming_window
        )
        self.write(frame(channel, Begin(channel, 0, WINDOW, WINDOW, _MAX_HANDLE)))

    def _session(self, channel: int) -> Session:
        try:
            return self._sessions[channel]
        except KeyError:
            raise FramingError(f"channel {channel} has no session") from None

    def _attach(self, channel: int, theirs: Attach, _payload: bytes) -> None:
        session = self._session(channel)
        if theirs.handle > _MAX_HANDLE or theirs.handle in session.links:
            raise FramingError(f"handle {theirs.handle} cannot be attached")
        link: Link
        try:
            link = self._link(session, theirs)
        except Refused as refused:
            link = Link(session, theirs.handle, theirs.name, "")
            self._attached(link, theirs)
            link.detach(refused.error)
            return
        session.links[link.handle] = link
        self._attached(link, theirs)
        if isinstance(link, InLink):
            link.give_credit()

    def _attached(self, link: Link, theirs: Attach) -> None:
        """Answer an attach.

        A refused one is answered with its terminus too, though the standard wants none there:
        the SDK would give up at once and never see the reason in the detach that follows.
        """
        ours = Attach(
            link.name,
            link.handle,
            role=not theirs.role,
            snd_settle_mode=1 if theirs.role else 0,
            rcv_settle_mode=0,
            source=theirs.source,
            target=theirs.target,
            initial_delivery_count=0 if theirs.role else None,
            max_message_size=MAX_MESSAGE_BYTES,
        )
        self.write(frame(link.session.channel, ours))

    def _link(self, session: Session, theirs: Attach) -> Link:
        """Build the link that a client asks for.

        Raises:
            Refused: it may not have it, or it does not exist.

        """
        terminus = theirs.source if theirs.role else theirs.target
        text = terminus.value[0] if isinstance(terminus, Described) and terminus.value else None
        if not isinstance(text, str):
            raise Refused("amqp:invalid-field", "the link names no address")
        place = text.split("://", 1)[-1].partition("/")[2] if "://" in text else text
        place = place.strip("/")
        if place in (CBS, MANAGEMENT):
            return self._desk_link(session, theirs, place)
        if not self._grants.allow(path_of(place)):
            raise Refused("amqp:unauthorized-access", f"no token that is valid covers {place}")
        address = Address.parse(place)
        hub = self._find(address.hub)
        if theirs.role:
            return self._reading(session, theirs, place, hub, address)
        if address.partition is not None:
            hub.partition(address.partition)

        def take(raw: bytes, message_format: int) -> Described:
            return _publish(hub, raw, message_format, address)

        return self._counted(InLink(session, theirs.handle, theirs.name, place, take), theirs)

    @staticmethod
    def _counted(link: InLink, theirs: Attach) -> InLink:
        link.count = theirs.initial_delivery_count or 0
        return link

    def _desk_link(self, session: Session, theirs: Attach, place: str) -> Link:
        if theirs.role:
            return OutLink(session, theirs.handle, theirs.name, place)

        def take(raw: bytes, _message_format: int) -> Described:
            loop = asyncio.get_running_loop()  # the SDK wants its request settled, then answered
            loop.call_soon(self._answer, session, place, raw)
            return ACCEPTED

        return self._counted(InLink(session, theirs.handle, theirs.name, place, take), theirs)

    def _answer(self, session: Session, place: str, raw: bytes) -> None:
        try:
            answer = self._desk.answer(place, raw)
        except CodecError as broken:
            self.end(error("amqp:decode-error", str(broken)))
            return
        for link in list(session.links.values()):
            if isinstance(link, OutLink) and link.path == place:
                link.send([answer])

    @staticmethod
    def _reading(
        session: Session, theirs: Attach, place: str, hub: Hub, address: Address
    ) -> Reader:
        group = (address.group or "").lower()
        if group not in hub.groups or address.partition is None:
            raise Refused(
                "amqp:not-found",
                f"The messaging entity '{place}' could not be found; receive from "
                f"{hub.name}/ConsumerGroups/<group>/Partitions/<id>.",
            )
        reader = Reader(session, theirs.handle, theirs.name, place, hub, address)
        properties = theirs.properties if isinstance(theirs.properties, dict) else {}
        reader.owner_level = properties.get(_OWNER_LEVEL)
        wanted = theirs.desired_capabilities
        reader.tells_last = _TELLS_LAST in (wanted if isinstance(wanted, list) else [wanted])
        try:
            reader.next = reader.partition.position(_selector(theirs.source))
        except SelectorError as broken:
            raise Refused("amqp:invalid-field", str(broken)) from broken
        reader.enter()
        return reader

    def _flow(self, channel: int, theirs: Flow, _payload: bytes) -> None:
        session = self._session(channel)
        session.flow(theirs)
        for link in list(session.links.values()):
            if isinstance(link, OutLink):
                if link.handle == theirs.handle:
                    link.flow(theirs)
                else:
                    link.pump()  # the window is the session's

    def _transfer(self, channel: int, theirs: Transfer, payload: bytes) -> None:
        session = self._session(channel)
        session.next_incoming_id += 1
        link = session.links.get(theirs.handle)
        if isinstance(link, InLink):  # else it was detached while this was on its way
            link.transfer(theirs, payload)

    def _disposition(self, _channel: int, _theirs: Disposition, _payload: bytes) -> None:
        """All that we send is settled."""

    def _detach(self, channel: int, theirs: Detach, _payload: bytes) -> None:
        session = self._sessions.get(channel)  # the SDK detaches after it ended the session
        link = session and session.links.get(theirs.handle)
        if link:
            link.end()
            self.write(frame(channel, Detach(theirs.handle, closed=theirs.closed)))

    def _end(self, channel: int, _theirs: End, _payload: bytes) -> None:
        session = self._sessions.pop(channel, None)
        for link in list(session.links.values()) if session else ():
            link.end()
        self.write(frame(channel, End()))

    def _close(self, _channel: int, _theirs: Close, _payload: bytes) -> None:
        self.end(None)


def _publish(hub: Hub, raw: bytes, message_format: int, address: Address) -> Described:
    """Write a message and give its fate: accepted means that it is with the operating system."""
    try:
        hub.publish(raw, message_format, address)
    except Refused as refused:
        return Described(0x25, [refused.error])
    except CodecError as broken:
        return Described(0x25, [error("amqp:decode-error", str(broken))])
    except OSError as failed:
        log.error("event not written", hub=hub.name, error=str(failed))
        text = "the hub could not write the event, try again"
        return Described(0x25, [error("com.microsoft:server-busy", text)])
    return ACCEPTED


def _unauthorized(path: str) -> Described:
    return error("amqp:unauthorized-access", f"the token for {path} is expired")


def _selector(source: Described) -> str | None:
    """Find the SDK's filter expression in a link's source."""
    filters = source.value[7] if len(source.value) > 7 else None  # noqa: PLR2004
    for name, described in (filters or {}).items():
        if "selector-filter" in str(name):
            value = described.value if isinstance(described, Described) else described
            return value.decode() if isinstance(value, bytes) else str(value)
    return None
