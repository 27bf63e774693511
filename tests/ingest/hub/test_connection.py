"""Clients that err, or mean ill: their own connection suffers, nobody else's."""

import random
import socket
from typing import Any

import pytest

from ingest.hub import HubSettings
from ingest.hub.amqp import Described, Symbol
from ingest.hub.frames import AMQP_HEADER, Attach, Close, Detach, Flow, Open, Transfer, frame
from ingest.hub.messages import APPLICATION, BATCH_FORMAT, DATA, MESSAGE, PROPERTIES, section
from tests.ingest.hub.conftest import Serve, Served
from tests.ingest.hub.raw import RawClient, condition
from tests.ingest.hub.sdk import bodies, receive, run, send

ONE = HubSettings("telemetry", partitions=1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # a TLS hello
        AMQP_HEADER + b"\xff\xff\xff\xff" + bytes(64),
        AMQP_HEADER + b"\x00\x00\x00\x09\x02\x00\x00\x00\x00",
        AMQP_HEADER + frame(0, Attach("early", 0, role=True)),
        AMQP_HEADER + frame(0, Open("x")) + frame(7, Attach("no session", 0, role=True)),
        AMQP_HEADER + b"\x00\x00\x10\x08\x02\x00\x00\x00" + b"\x00" * 4096,
        AMQP_HEADER
        + b"\x00\x00\x00\x15\x02\x00\x00\x00\x00\x53\x10\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        random.Random(1).randbytes(100_000),
    ],
    ids=["http", "tls", "huge", "tiny", "early", "sessionless", "nested", "bomb", "random"],
)
def test_garbage_ends_its_connection_and_nothing_else(serve: Serve, garbage: bytes) -> None:
    served = serve(ONE)
    other = RawClient(served.port)
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        client.sendall(garbage)
        try:
            while client.recv(65_536):
                pass
        except ConnectionResetError:
            pass
    assert isinstance(other.attach_sender("telemetry"), Flow)
    assert other.send(section(DATA, b"x")).descriptor == 0x24
    other.close()


@pytest.fixture
def one(serve: Serve) -> Served:
    return serve(ONE)


def sender(served: Served, address: str = "telemetry") -> RawClient:
    client = RawClient(served.port)
    assert isinstance(client.attach_sender(address), Flow)
    return client


def test_a_message_over_the_limit_is_rejected_and_the_link_lives_on(one: Served) -> None:
    client = sender(one)
    told = client.send(section(DATA, bytes(2**20)))
    assert condition(told) == "amqp:link:message-size-exceeded"
    assert client.send(section(DATA, b"small")).descriptor == 0x24
    client.close()


@pytest.mark.parametrize(
    ("message", "message_format"),
    [
        (b"", 0),
        (b"\x00\x53\x75\xa0\xffcut off", 0),
        (section(APPLICATION, {"no": "body"}), 0),
        (section(DATA, b"x") + section(MESSAGE, {Symbol("late"): 1}), 0),
        (section(MESSAGE, {}) + section(MESSAGE, {}) + section(DATA, b"x"), 0),
        (section(PROPERTIES, {"not": "a list"}) + section(DATA, b"x"), 0),
        (section(DATA, b"no message in the batch"), BATCH_FORMAT),
        (section(MESSAGE, {}), BATCH_FORMAT),
    ],
)
def test_what_is_no_message_is_rejected_so_that_no_reader_meets_it(
    one: Served, message: bytes, message_format: int
) -> None:
    client = sender(one)
    told = client.send(message or b"\x00", message_format=message_format)
    assert condition(told) == "amqp:decode-error"
    assert client.send(section(DATA, b"good")).descriptor == 0x24
    client.close()
    assert bodies(run(receive(one.at(), 1))) == ["good"]


def test_a_batch_is_kept_whole_or_not_at_all(one: Served) -> None:
    good, bad = section(DATA, b"good"), b"bad"
    client = sender(one)
    told = client.send(section(DATA, good) + section(DATA, bad), message_format=BATCH_FORMAT)
    assert condition(told) == "amqp:decode-error"
    client.close()
    assert one.server._hubs["telemetry"].partitions[0].info.empty


def test_an_address_of_nobody_is_not_found(one: Served) -> None:
    client = RawClient(one.port)
    told = client.attach_sender("nowhere")
    assert isinstance(told, Detach)
    assert condition(told.error) == "amqp:not-found"
    client.close()


def test_credit_is_never_exceeded_and_can_be_drained(one: Served) -> None:
    run(send(one.at(), "abc"))
    client = RawClient(one.port)
    client.attach_reader("telemetry/ConsumerGroups/$Default/Partitions/0")
    client.credit(2)
    assert [client.wait(Transfer).delivery_id for _ in range(2)] == [1, 2]
    client.credit(5, drain=True, delivery_count=2)
    assert client.wait(Transfer, Flow).delivery_id == 3
    drained: Any = client.wait(Transfer, Flow)
    assert (drained.link_credit, drained.delivery_count) == (0, 7)
    client.close()


def test_a_start_that_event_hubs_does_not_know_is_refused(one: Served) -> None:
    client = RawClient(one.port)
    where = {Symbol("apache.org:selector-filter:string"): Described(1, "amqp.annotation.x > '1'")}
    address = "telemetry/ConsumerGroups/$Default/Partitions/0"
    source = Described(0x28, [address, *[None] * 6, where])
    client.socket.sendall(frame(0, Attach("r", 1, role=True, source=source)))
    assert condition(client.wait(Detach).error) == "amqp:invalid-field"
    client.close()


def test_a_closing_hub_tells_its_clients(serve: Serve) -> None:
    served = serve(ONE)
    client = RawClient(served.port)
    served.stop()
    assert condition(client.wait(Close).error) == "amqp:connection:forced"
    client.close()
