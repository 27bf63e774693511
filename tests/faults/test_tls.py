"""A hub whose certificate nobody vouches for gets no key and gives no event."""

import errno
import socket
from pathlib import Path

import pytest

from ingest.hub import Gate, HubServer, HubSettings
from ingest.hub.certificate import context, self_made
from tests.end_to_end.plant import HUB, Plant
from tests.faults.loop import Loop

AMQPS_PORT = 5671  # the SDK takes no other with TLS


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", AMQPS_PORT))
        except OSError as error:
            pytest.skip(f"port {AMQPS_PORT} is not free: {errno.errorcode[error.errno or 0]}")
    loop, key = Loop(), "a2V5LW9mLWEtdGVzdA=="
    server = HubServer(
        [HubSettings(HUB, 1)],
        port=AMQPS_PORT,
        gate=Gate(key),
        tls=context(*self_made(tmp_path / "hub")),
    )
    loop.run(server.start())
    plant = Plant(tmp_path, connection=server.connection_string(HUB))
    try:
        assert plant.start().wait(90) == 2
    finally:
        loop.run(server.close())
        loop.close()
    said = (tmp_path / "one.log").read_text()
    assert "source: hub telemetry" in said
    assert "certificate" in said.lower()
    assert key not in said
    assert "Traceback" not in said
