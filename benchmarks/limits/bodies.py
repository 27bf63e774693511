"""The events of a workload as senders would write them: JSON, SenML and `.npy`."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.durable import STREAM
from benchmarks.load import Sent
from benchmarks.workloads import arrays, name_of, records
from ingest.decode.spec import DecodeSpec, Format, MatchSpec, SensorSpec, StreamRules, TimeSpec

CHANNEL, TIME = "value", "t"
DECIMALS = 4


def sent(path: Path, form: Format) -> Iterator[Sent]:
    """Give sensor and body of each event, values with four decimals as sensors have them."""
    for sensor, body in records(path):
        times, values = arrays(body)
        rounded = np.round(values.astype(np.float64), DECIMALS)
        yield name_of(sensor), _WRITERS[form](name_of(sensor), times, rounded)


def rules(form: Format) -> StreamRules:
    """Give the stream that reads them."""
    spec = DecodeSpec(form, TimeSpec(TIME, "ns"), (CHANNEL,), dtype="float32")
    return StreamRules(STREAM, MatchSpec(), SensorSpec("property", "sensor"), spec)


def _json(_: str, times: Any, values: Any) -> bytes:
    return msgspec.json.encode({TIME: times.tolist(), CHANNEL: values.tolist()})


def _senml(sensor: str, times: Any, values: Any) -> bytes:
    """Times are relative to the first one, so that seconds keep their nanoseconds."""
    behind = ((times - times[0]) / 1e9).tolist()
    base = {"bn": sensor, "bt": int(times[0]) / 1e9}
    pairs = zip(behind, values.tolist(), strict=True)
    pack = [{"t": time, "v": value} for time, value in pairs]
    return msgspec.json.encode([base | pack[0], *pack[1:]])


def _npy(_: str, times: Any, values: Any) -> bytes:
    table = np.empty(len(times), [(TIME, "<i8"), (CHANNEL, "<f4")])
    table[TIME], table[CHANNEL] = times, values
    written = io.BytesIO()
    np.save(written, table)
    return written.getvalue()


_WRITERS: Mapping[str, Callable[[str, Any, Any], bytes]] = {
    "json": _json,
    "senml": _senml,
    "npy": _npy,
}
FORMATS: tuple[Format, ...] = ("json", "senml", "npy")
