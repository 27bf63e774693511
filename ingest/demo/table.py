"""The table at the end of the demo: from the report, the run records and the flow's own results."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.table import Table

from batching.model import RunRecord, load
from batching.verify import Report


def sensors(report: Report, folder: Path) -> Table:
    """Lay out each sensor: what came, how it was batched, in how many runs, with what result."""
    runs, results = _runs_of(folder), _results_of(folder)
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("sensor")
    for name in ("events", "samples", "batches"):
        table.add_column(name, justify="right")
    table.add_column("sealed by")
    table.add_column("runs", justify="right")
    table.add_column("results")
    for sensor, found in sorted(report.sensors.items()):
        reasons = ", ".join(
            f"{count} {why.removeprefix('max_')}" for why, count in sorted(found.reasons.items())
        )
        table.add_row(
            sensor,
            f"{found.events:,}",
            f"{found.samples:,}",
            f"{found.batches:,}",
            reasons,
            f"{runs[sensor]:,}",
            results.get(sensor, ""),
        )
    return table


def _runs_of(folder: Path) -> Counter[str]:
    """Count the runs that each sensor had a batch in."""
    runs: Counter[str] = Counter()
    for path in sorted((folder / "blobs").glob("*/runs/motion/????????????.json")):
        record = load(RunRecord, path.name, path.read_bytes())
        runs.update({batch.entry.sensor for batch in record.batches})
    return runs


def _results_of(folder: Path) -> dict[str, str]:
    """Tell of each sensor how many rows of features there are, and its strongest octave."""
    paths = sorted((folder / "blobs").glob("*/outputs/motion/*/features.parquet"))
    if not paths:
        return {}
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    rows: dict[str, int] = Counter(table["sensor"].to_pylist())
    energies: dict[str, NDArray[np.float64]] = {}
    edges: dict[str, list[float]] = {}
    for row in table.select(["sensor", "channel", "band_energy", "band_edges_hz"]).to_pylist():
        if row["channel"].startswith("a") and row["band_energy"]:
            energy = np.nan_to_num(np.asarray(row["band_energy"], float))
            energies[row["sensor"]] = energies.get(row["sensor"], np.zeros(len(energy))) + energy
            edges[row["sensor"]] = row["band_edges_hz"]
    return {sensor: _said(count, energies, edges, sensor) for sensor, count in rows.items()}


def _said(
    rows: int,
    energies: dict[str, NDArray[np.float64]],
    edges: dict[str, list[float]],
    sensor: str,
) -> str:
    if sensor not in energies:
        return f"{rows:,} rows"
    strongest = int(np.argmax(energies[sensor]))
    low, high = edges[sensor][strongest : strongest + 2]
    return f"{rows:,} rows, {low:.1f}-{high:.1f} Hz"
