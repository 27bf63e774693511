"""Features of sensor batches: what a filter bank and lagged autocorrelation say of each channel.

Headrace starts this flow for every run record of its job. By hand, on what is there already:

    python flows/sensor_processing_flow.py run                  # the newest run record
    python flows/sensor_processing_flow.py run --since 2h       # all batches of two hours
    HEADRACE_STORE=file:///data/blobs python flows/sensor_processing_flow.py run

The features are one Parquet table, a row per batch and channel; `end` prints where it lies.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from metaflow import FlowSpec, schedule, step

from batching import names
from flows import processing
from flows.environment import conda_base
from flows.mixin import BatchFlow
from flows.reader import Batch

BANDS = 6
LAGS = (1, 2, 4, 8, 16, 32, 64, 128)  # grid steps


@conda_base(python="3.10.8", libraries={"numpy": "1.23.5"})
@schedule(cron="0 * * * * *")
class SensorProcessingFlow(BatchFlow, FlowSpec):
    """Preprocess, then filter bank and lags side by side, then one table."""

    @step
    def start(self) -> None:
        """Say what came."""
        (whole,) = self.groups(1)
        print(f"{len(whole.batches)} batches, {whole.samples} samples")  # noqa: T201
        self.next(self.preprocess)

    @step
    def preprocess(self) -> None:
        """Clean each batch and describe its channels; find how often each sensor measures."""
        self.rows = [row for batch in self.batches() for row in _describe(batch)]
        rates: dict[str, list[float]] = {}
        for row in self.rows:
            rates.setdefault(_key(row["stream"], row["sensor"]), []).append(row["rate_hz"])
        self.rate_hz = {key: _median(found) for key, found in rates.items()}
        self.next(self.filter_bank, self.lags)

    @step
    def filter_bank(self) -> None:
        """Divide each channel's variance among octaves."""
        self.energies = []
        for batch in self.batches():
            rate_hz = self.rate_hz[_key(batch.entry.stream, batch.sensor)]
            edges_hz = processing.octave_edges_hz(rate_hz, BANDS)
            for pieces in _pieces(batch, rate_hz):
                energies = processing.band_energies(pieces, rate_hz, edges_hz)
                self.energies.append({"band_edges_hz": edges_hz, "band_energy": energies})
        self.next(self.join)

    @step
    def lags(self) -> None:
        """Compare each channel with itself, some steps later."""
        self.correlations = [
            {"lag_steps": LAGS, "lag_correlation": processing.lag_correlations(pieces, LAGS)}
            for batch in self.batches()
            for pieces in _pieces(batch, self.rate_hz[_key(batch.entry.stream, batch.sensor)])
        ]
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Bring both sides together, row by row."""
        self.merge_artifacts(inputs)
        sides = zip(self.rows, self.energies, self.correlations, strict=True)
        self.features = [{**row, **energy, **lags} for row, energy, lags in sides]
        self.next(self.end)

    @step
    def end(self) -> None:
        """Write the table, then say that this run is done."""
        where = self.outputs().write_table("features.parquet", table(self.features))
        print(f"{len(self.features)} rows of features: {where}")  # noqa: T201
        self.finish(sensors=len(self.rate_hz), rows=len(self.features))


def table(features: "list[dict[str, Any]]") -> pa.Table:
    """Lay features out as columns; times are nanoseconds UTC."""
    moment, numbers = pa.timestamp("ns", tz="UTC"), pa.list_(pa.float64())
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("stream", "sensor", "partition", "channel")),
            *((name, pa.int64()) for name in ("first", "last", "samples", "used")),
            *((name, moment) for name in ("time_first", "time_last")),
            *((name, pa.float64()) for name in ("rate_hz", "mean", "std")),
            *((name, numbers) for name in ("band_edges_hz", "band_energy", "lag_correlation")),
            ("lag_steps", pa.list_(pa.int64())),
        ]
    )
    return pa.Table.from_pylist(features, schema)


def _describe(batch: Batch) -> "list[dict[str, Any]]":
    times, values = processing.clean(batch.times_ns, batch.values)
    common = {
        "stream": batch.entry.stream,
        "sensor": batch.sensor,
        "partition": batch.partition,
        "first": batch.entry.first,
        "last": batch.entry.last,
        "samples": len(batch.times_ns),
        "time_first": int(times[0]) if len(times) else None,
        "time_last": int(times[-1]) if len(times) else None,
        "rate_hz": processing.sampling_rate_hz(times),
    }
    return [
        {**common, "channel": name, **processing.describe(values[:, i])}
        for i, name in enumerate(batch.channels)
    ]


def _key(stream: str, sensor: str) -> str:
    return names.Key(stream, sensor).text()


def _pieces(batch: Batch, rate_hz: float) -> "list[list[np.ndarray[Any, Any]]]":
    times, values = processing.clean(batch.times_ns, batch.values)
    return [processing.uniform_pieces(times, signal, rate_hz) for signal in values.T]


def _median(rates: "list[float]") -> float:
    known = [rate for rate in rates if np.isfinite(rate)]
    return float(np.median(known)) if known else float("nan")


if __name__ == "__main__":
    SensorProcessingFlow()
