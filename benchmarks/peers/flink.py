"""PyFlink with checkpoints: keyed state in the JVM, Python in threads of it.

A position in the source is a range of some 2 MB of the file. Files have numbers, so what is done
again after a restart writes the same files again.
"""

import json
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.datastream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.number_seq import NumberSequenceSource
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor

from benchmarks.peers import family
from benchmarks.reference import arguments, write_batch
from benchmarks.workloads import HEAD_BYTES, SAMPLE_BYTES, name_of, records

RANGE_BYTES = 2**21
CHECKPOINT = "1s"  # as often as Valkey's append-only file is synced
MAX_AGE_MS = 86_400_000
END_OF_INPUT = 2**62  # in event time, of which nothing else has any
Event = tuple[str, bytes]  # sensor, body
SETTINGS = {
    "python.execution-mode": "thread",
    "python.executable": sys.executable,  # else it takes the first one of PATH, in silence
    "python.client.executable": sys.executable,
    "restart-strategy.type": "none",
    "execution.checkpointing.interval": CHECKPOINT,
    "state.backend.type": "hashmap",
}


class Reader:
    """The file, a range at a time."""

    def __init__(self, path: Path, out: Path, bounds: list[int]) -> None:
        self._path, self._out, self._bounds = path, out, bounds

    def __call__(self, number: int) -> Iterator[Event]:
        """Give the events of a range."""
        family.begin(self._out)
        position, end = self._bounds[number : number + 2]
        for sensor, body in records(self._path, position):
            yield name_of(sensor), body
            position += HEAD_BYTES + len(body)
            if position >= end:
                return


class Batcher(KeyedProcessFunction):
    """The open batch of each sensor."""

    def __init__(self, out: Path, threshold: int) -> None:
        self._out, self._threshold = out, threshold

    def open(self, context: RuntimeContext) -> None:
        """Get at the state."""
        bodies = ListStateDescriptor("bodies", Types.PICKLED_BYTE_ARRAY())
        numbers = Types.TUPLE([Types.LONG(), Types.LONG(), Types.LONG()])
        self._bodies = context.get_list_state(bodies)
        self._open = context.get_state(ValueStateDescriptor("open", numbers))

    def process_element(self, event: Event, context: KeyedProcessFunction.Context) -> None:
        """Keep a body, and write the batch when it is full."""
        sensor, body = event
        number, samples, due = self._open.value() or (0, 0, 0)
        timers = context.timer_service()
        if not samples:
            due = timers.current_processing_time() + MAX_AGE_MS
            timers.register_processing_time_timer(due)
            timers.register_event_time_timer(END_OF_INPUT)
        samples += len(body) // SAMPLE_BYTES
        self._bodies.add(body)
        if samples >= self._threshold:
            timers.delete_processing_time_timer(due)
            self._seal(sensor, number)
        else:
            self._open.update((number, samples, due))

    def on_timer(self, _time: int, context: KeyedProcessFunction.OnTimerContext) -> None:
        """Write the batch that is too old, or the last one."""
        number, samples, _ = self._open.value()
        if samples:
            self._seal(context.get_current_key(), number)

    def _seal(self, sensor: str, number: int) -> None:
        write_batch(self._out, sensor, number, list(self._bodies.get()))
        self._bodies.clear()
        self._open.update((number + 1, 0, 0))


def bounds(path: Path) -> list[int]:
    """Cut the file between events."""
    found, position = [0], 0
    for _, body in records(path):
        position += HEAD_BYTES + len(body)
        if position >= found[-1] + RANGE_BYTES:
            found.append(position)
    return found if position == found[-1] else [*found, position]


def run(path: Path, out: Path, threshold: int) -> None:
    """Say what happens to an event, and let it happen."""
    settings = Configuration()
    for name, value in SETTINGS.items():
        settings.set_string(name, value)
    settings.set_string("execution.checkpointing.dir", (out / "checkpoints").as_uri())
    settings.set_string("web.tmpdir", str(out / "web"))
    settings.set_string("io.tmp.dirs", str(out / "tmp"))
    flow = StreamExecutionEnvironment.get_execution_environment(settings)
    flow.set_parallelism(1)
    cuts = bounds(path)
    source = NumberSequenceSource(0, len(cuts) - 2)
    ranges = flow.from_source(source, WatermarkStrategy.no_watermarks(), "ranges")
    event = Types.TUPLE([Types.STRING(), Types.PICKLED_BYTE_ARRAY()])
    events = ranges.flat_map(Reader(path, out, cuts), event)
    events.key_by(lambda event: event[0], Types.STRING()).process(Batcher(out, threshold))
    flow.execute()


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    packages = sysconfig.get_path("purelib")  # Python in the JVM knows of no virtual environment
    os.environ["PYTHONPATH"] = os.pathsep.join([packages, *sys.path[:1]])
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    os.environ[family.ELDEST] = str(os.getpid())
    run(wish.events, wish.out, wish.threshold)
    print(json.dumps(family.spent(wish.out)))


if __name__ == "__main__":
    main()
