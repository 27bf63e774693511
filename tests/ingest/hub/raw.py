"""A client that says what the SDK never would, byte by byte."""

import socket
from typing import Any

from ingest.hub.amqp import Described
from ingest.hub.frames import (
    AMQP_HEADER,
    SASL_HEADER,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    Flow,
    FrameReader,
    Open,
    SaslInit,
    Transfer,
    frame,
)


class RawClient:
    """Connected, signed in, with one session."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._reader = FrameReader()
        self._came: list[Any] = []
        self.socket.sendall(SASL_HEADER + frame(0, SaslInit("ANONYMOUS")))
        self.socket.sendall(AMQP_HEADER + frame(0, Open("raw")))
        self.socket.sendall(frame(0, Begin(None, 0, 1_000, 1_000)))
        self.wait(Begin)

    def wait(self, *kinds: type) -> Any:
        """Give the next performative of a kind, None if the hub hangs up before."""
        while True:
            while self._came:
                came = self._came.pop(0)
                if not isinstance(came, bytes) and isinstance(came.performative, kinds):
                    return came.performative
            data = self.socket.recv(65_536)
            if not data:
                return None
            self._came += self._reader.feed(data)

    def attach_sender(self, address: str) -> Any:
        target = Described(0x29, [address])
        self.socket.sendall(
            frame(0, Attach("s", 0, role=False, target=target, initial_delivery_count=0))
        )
        return self.wait(Flow, Detach)

    def attach_reader(self, address: str) -> Any:
        source = Described(0x28, [address])
        self.socket.sendall(frame(0, Attach("r", 1, role=True, source=source)))
        return self.wait(Attach)

    def credit(self, credit: int, *, drain: bool = False, delivery_count: int = 0) -> None:
        self.socket.sendall(
            frame(
                0,
                Flow(
                    0,
                    1_000,
                    0,
                    1_000,
                    handle=1,
                    delivery_count=delivery_count,
                    link_credit=credit,
                    drain=drain,
                ),
            )
        )

    def send(self, message: bytes, *, message_format: int = 0) -> Any:
        """Send in frames of 500 kB and give the state that the hub settles with."""
        parts = [message[i : i + 500_000] for i in range(0, len(message), 500_000)]
        for i, part in enumerate(parts):
            head = Transfer(0, 0, b"0", message_format, settled=False, more=i + 1 < len(parts))
            self.socket.sendall(frame(0, head, part))
        told = self.wait(Disposition, Close)
        return told.state if isinstance(told, Disposition) else told

    def close(self) -> None:
        self.socket.close()


def condition(state: Any) -> str:
    """Read the condition of a rejection or of an error."""
    error = state.value[0] if state.descriptor == 0x25 else state
    return str(error.value[0])
