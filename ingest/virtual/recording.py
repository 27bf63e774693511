"""Signals to send: the recordings that ship with Headrace, a file, or generated ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from batching.errors import SettingError

SHIPPED = "smartwatch"
RATE_HZ = 50.0


@dataclass(frozen=True, slots=True)
class Signal:
    """One sensor's samples, repeated for as long as it sends.

    `values` is float64 of shape (n, channels); sample i was taken i / `rate_hz` seconds after
    the first.
    """

    name: str
    channels: tuple[str, ...]
    rate_hz: float
    values: NDArray[np.float64]


def signals(source: str, count: int, *, seed: int) -> list[Signal]:
    """Give `count` signals of a source.

    Args:
        source: `smartwatch` (shipped: 20 wrists, 50 Hz, six channels), `sine` or `noise`
            (generated), or the path of an .npz, .csv or .parquet file.
        count: how many sensors; a recording with fewer serves several.
        seed: of generated signals.

    Raises:
        SettingError: the source is none of these, or the file cannot be used.

    """
    if source in ("sine", "noise"):
        return _generated(source, count, np.random.default_rng(seed))
    found = _smartwatch() if source == SHIPPED else _from_file(Path(source))
    return [_renamed(found[i % len(found)], i, len(found)) for i in range(count)]


def _renamed(signal: Signal, i: int, of: int) -> Signal:
    """Give the second sensor of one recording a name of its own."""
    if i < of:
        return signal
    return Signal(f"{signal.name}-{i // of + 1}", signal.channels, signal.rate_hz, signal.values)


def _smartwatch() -> list[Signal]:
    """Read the shipped recordings: a person's arm is one sensor, its recordings follow on."""
    with as_file(files("ingest") / "data" / "smartwatch_imu.npz") as path, np.load(path) as held:
        samples = held["samples_milli"].astype(np.float64) / 1_000
        ends = np.cumsum(held["lengths"])
        owners = list(zip(held["subject"].tolist(), held["side"].tolist(), strict=True))
        channels = tuple(str(name) for name in held["channels"])
        rate = float(held["rate_hz"])
    parts: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
    for owner, part in zip(owners, np.split(samples, ends[:-1]), strict=True):
        parts.setdefault(owner, []).append(part)
    return [
        Signal(
            f"wrist-{subject:02d}-{'right' if side else 'left'}",
            channels,
            rate,
            np.concatenate(held_parts),
        )
        for (subject, side), held_parts in sorted(parts.items())
    ]


def _generated(kind: str, count: int, rng: np.random.Generator) -> list[Signal]:
    seconds = np.arange(3_000) / RATE_HZ
    made: list[Signal] = []
    for i in range(count):
        noise = rng.normal(0, 0.1 if kind == "sine" else 1.0, len(seconds))
        wave = np.sin(2 * np.pi * (1 + i % 7) * seconds) if kind == "sine" else 0
        made.append(Signal(f"{kind}-{i:04d}", ("x",), RATE_HZ, (wave + noise).round(4)[:, None]))
    return made


def _from_file(path: Path) -> list[Signal]:
    readers = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise SettingError(
            f"--recording {path}: expected {SHIPPED}, sine, noise, or a file that ends in"
            f" {', '.join(sorted(readers))}"
        )
    if not path.is_file():
        raise SettingError(f"--recording {path}: no such file")
    try:
        found = readers[path.suffix](path)
    except (pa.ArrowInvalid, OSError, ValueError, KeyError, BadZipFile) as error:
        raise SettingError(f"--recording {path}: cannot be read: {error}") from error
    found = [signal for signal in found if len(signal.values)]
    if not found:
        raise SettingError(f"--recording {path}: holds no numbers")
    return found


def _npz(path: Path) -> list[Signal]:
    """Read one sensor per array of shape (n,) or (n, channels)."""
    numbers: dict[str, NDArray[np.generic]] = {}
    with path.open("rb") as file, ZipFile(file):
        pass  # numpy takes a file that is no archive for something else
    with np.load(path, allow_pickle=False) as held:
        for name in held:
            array = held[name]
            if array.dtype.kind in "fiu" and array.ndim in (1, 2):
                numbers[name] = array.reshape(len(array), -1)
    return [
        Signal(name, tuple(f"c{i}" for i in range(values.shape[1])), RATE_HZ, _sendable(values))
        for name, values in numbers.items()
    ]


def _sendable(values: NDArray[Any]) -> NDArray[np.float64]:
    """Make what JSON cannot hold a missing value."""
    plain = values.astype(np.float64)
    return np.where(np.isfinite(plain), plain, np.nan)


def _csv(path: Path) -> list[Signal]:
    return _table(pyarrow.csv.read_csv(path), path.stem)


def _parquet(path: Path) -> list[Signal]:
    return _table(pyarrow.parquet.read_table(path), path.stem)


def _table(table: pa.Table, name: str) -> list[Signal]:
    """Read numeric columns as channels; a column `sensor` divides the rows."""
    channels = tuple(
        field.name
        for field in table.schema
        if (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
        and field.name not in ("t", "time")
    )
    if not channels:
        return []
    values = _sendable(np.column_stack([table[c].to_numpy() for c in channels]))
    if "sensor" not in table.schema.names:
        return [Signal(name, channels, RATE_HZ, values)]
    sensors = np.asarray(table["sensor"].to_pylist())
    names: Sequence[str] = list(dict.fromkeys(sensors.tolist()))
    return [Signal(str(s), channels, RATE_HZ, values[sensors == s]) for s in names]
