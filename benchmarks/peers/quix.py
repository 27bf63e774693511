"""Quix Streams: a stateful step over a Kafka topic, with RocksDB and a changelog topic.

It has no timers, so a batch cannot be sealed by age, and no end of its input: an empty event of
each sensor seals what is left. Kept and committed once a second, at least once.
"""

import json
from pathlib import Path
from typing import Any

from quixstreams import Application, State

from benchmarks.peers.broker import TOPIC
from benchmarks.reference import Cost, arguments, write_batch
from benchmarks.workloads import SAMPLE_BYTES, records

COMMIT_SECONDS = 1.0  # as often as Valkey's append-only file is synced
SESSION_MS = 6_000  # the default makes joining the group last 23 s
WAIT_SECONDS = 20.0
LARGEST_BYTES = 4_000_000
costs: list[Cost] = []


class Batcher:
    """The step that is called with each event."""

    def __init__(self, out: Path, threshold: int) -> None:
        self._out, self._full_bytes = out, threshold * SAMPLE_BYTES

    def __call__(self, body: bytes, key: str, _time: int, _headers: Any, state: State) -> None:
        """Keep a body, and write the batch when it is full."""
        costs or costs.append(Cost())
        number, sizes = state.get("open", [0, []])
        bodies = state.get_bytes("bodies", b"") + body
        if body:
            sizes.append(len(body))
        if len(bodies) >= self._full_bytes or (bodies and not body):
            write_batch(self._out, key, number, split(bodies, sizes))
            number, sizes, bodies = number + 1, [], b""
        state.set("open", [number, sizes])
        state.set_bytes("bodies", bodies)


def split(bodies: bytes, sizes: list[int]) -> list[bytes]:
    """Take bodies apart again."""
    parts, at = [], 0
    for size in sizes:
        parts.append(bodies[at : at + size])
        at += size
    return parts


def run(broker: str, out: Path, threshold: int, messages: int) -> None:
    """Process so many messages."""
    application = Application(
        broker_address=broker,
        consumer_group=out.name,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=out / "state",
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": SESSION_MS},
        producer_extra_config={"message.max.bytes": LARGEST_BYTES},
    )
    topic = application.topic(TOPIC, value_deserializer="bytes", key_deserializer="str")
    events = application.dataframe(topic)
    events.apply(Batcher(out, threshold), stateful=True, metadata=True)
    application.run(count=messages, timeout=WAIT_SECONDS, collect=False)


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__, "broker")
    sensors = [sensor for sensor, _ in records(wish.events)]
    run(wish.broker, wish.out, wish.threshold, len(sensors) + len(set(sensors)))
    print(json.dumps(costs[0].spent()))


if __name__ == "__main__":
    main()
