"""What virtual sensors send, and in which order: pure, so that a seed repeats it.

Real sensors send when something happens. So a plan has bursts of one sensor, sensors that
fall silent for a while, chunks of very different sizes, chunks that arrive late, messages
that arrive twice, and now and then a body that nobody can decode.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from batching.errors import SettingError
from ingest.virtual.recording import Signal

GARBAGE = (b"{not json", b"", b"\x00\xff\xfe\x80", b'{"t": "yesterday", "x": []}')


@dataclass(frozen=True, slots=True)
class Message:
    """One event to send. `total` is the sum of all its values, None where it has none."""

    id: str
    sensor: str
    samples: int
    total: float | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Habits:
    """How sensors behave; shares are of all messages, in [0, 1]."""

    chunk: tuple[float, float] = (120.0, 0.8)  # median samples and sigma of a log-normal
    late: float = 0.03
    repeated: float = 0.02
    garbage: float = 0.002
    burst: float = 0.03
    silence: float = 0.02
    largest: int = 5_000

    def __post_init__(self) -> None:
        """Check shares and sizes."""
        for name in ("late", "repeated", "garbage", "burst", "silence"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"--{name}: expected a share from 0 to 1")
        if not (1 <= self.chunk[0] < np.inf and 0 <= self.chunk[1] < np.inf):
            raise SettingError("--chunk: expected a median of at least 1 and a sigma of at least 0")


@dataclass(slots=True)
class _Sensor:
    """A signal and how far it has been sent."""

    signal: Signal
    clock_ms: float
    prefix: str  # of message ids
    at: int = 0
    sent: int = 0
    silent_until: int = 0

    def chunk(self, size: int, rng: np.random.Generator) -> Message:
        values = np.take(self.signal.values, range(self.at, self.at + size), axis=0, mode="wrap")
        step_ms = 1_000 / self.signal.rate_hz
        jitter = rng.uniform(-0.3, 0.3, size) * step_ms
        times = np.rint(self.clock_ms + np.arange(size) * step_ms + jitter).astype(np.int64)
        self.at, self.sent = self.at + size, self.sent + 1
        # Something happens, then nothing for a while: chunks do not touch.
        self.clock_ms += (size + rng.exponential(size)) * step_ms
        return Message(
            f"{self.prefix}-{self.sent:06d}",
            self.signal.name,
            size,
            float(np.nansum(values)),
            _json(times, self.signal.channels, values),
        )


def _json(
    times_ms: NDArray[np.int64], channels: tuple[str, ...], values: NDArray[np.float64]
) -> bytes:
    body = {"t": times_ms.tolist()}
    body.update({name: values[:, i].tolist() for i, name in enumerate(channels)})
    return msgspec.json.encode(body)


@dataclass(slots=True)
class Plan:
    """Messages of some sensors, endless, in the order in which they are sent."""

    signals: list[Signal]
    habits: Habits
    seed: int
    start_ms: float
    _later: list[tuple[int, Message]] = field(default_factory=list)

    @property
    def _start(self) -> str:
        """Keep the ids of two plans apart that send to one hub, so that `verify` can."""
        return f"{int(self.start_ms):x}"

    def messages(self) -> Iterator[Message]:
        """Give the next message, for ever."""
        rng = np.random.default_rng(self.seed)
        sensors = [
            _Sensor(signal, self.start_ms, f"{signal.name}-{self._start}")
            for signal in self.signals
        ]
        burst: list[_Sensor] = []
        for n in range(2**62):
            due = [message for at, message in self._later if at <= n]
            self._later = [(at, message) for at, message in self._later if at > n]
            yield from due
            sensor = burst.pop() if burst else self._pick(sensors, n, rng)
            if not burst and rng.random() < self.habits.burst:
                burst = [sensor] * int(rng.integers(3, 15))
            message = self._next(sensor, n, rng)
            if rng.random() < self.habits.repeated:
                self._later.append((n + int(rng.integers(1, 40)), message))
            if rng.random() < self.habits.late:
                self._later.append((n + int(rng.integers(5, 60)), message))
            else:
                yield message

    def left(self) -> list[Message]:
        """Give the messages that were still held back, when the plan ends."""
        held, self._later = [message for _, message in self._later], []
        return held

    def _pick(self, sensors: list[_Sensor], n: int, rng: np.random.Generator) -> _Sensor:
        awake = [sensor for sensor in sensors if sensor.silent_until <= n] or sensors
        sensor = awake[int(rng.integers(len(awake)))]
        if rng.random() < self.habits.silence:
            sensor.silent_until = n + int(rng.integers(20, 200))
        return sensor

    def _next(self, sensor: _Sensor, n: int, rng: np.random.Generator) -> Message:
        if rng.random() < self.habits.garbage:
            body = GARBAGE[int(rng.integers(len(GARBAGE)))]
            return Message(f"garbage-{self._start}-{n:06d}", sensor.signal.name, 0, None, body)
        median, sigma = self.habits.chunk
        size = int(np.clip(rng.lognormal(np.log(median), sigma), 1, self.habits.largest))
        return sensor.chunk(size, rng)
