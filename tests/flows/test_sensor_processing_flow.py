"""The flow of the article, run by Metaflow in a process of its own, as a launcher does it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.reader import read_run
from flows.sensor_processing_flow import BANDS, LAGS
from tests.flows.conftest import START_NS, Lake, sine
from tests.flows.old_python import old_python

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "flows" / "sensor_processing_flow.py"


def launch(
    folder: Path, *arguments: str, python: str = sys.executable, flow: Path = FLOW, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the flow with nothing of the tester's own surroundings."""
    (folder / "home").mkdir(exist_ok=True)
    surroundings = {
        "PATH": os.defpath,
        "HOME": str(folder / "home"),
        "METAFLOW_HOME": str(folder / "home"),
        "METAFLOW_USER": "headrace",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder / "metaflow"),
        **environ,
    }
    return subprocess.run(
        [python, str(flow), "--no-pylint", "run", *arguments],
        cwd=folder,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def snapshot(lake: Lake) -> dict[str, bytes]:
    return {name: bytes(lake.store.get(name)) for name in lake.store.names("")}


def features(lake: Lake, folder: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(lake.store.get(f"{folder}features.parquet")))


@pytest.fixture
def uri(lake: Lake) -> str:
    """Three sensors: a repeated and disordered one, a regular one, one that sent one sample."""
    times, values = sine(2.0)
    part = slice(500, 900)
    mixed = [(times[1000:], values[1000:]), (times[:1000], values[:1000])]
    again = [(times[part], values[part])]
    single = (np.array([START_NS]), np.array([[1.0, np.nan]]))
    first = lake.bundle({"pump 1/Ω": mixed + again, "fan": [sine(5.0)]})
    return lake.run([*first, *lake.bundle({"lone": [single], "fan": [sine(5.0)]})])


def check_features(table: pa.Table) -> None:
    rows = {(row["sensor"], row["channel"], row["first"]): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == 8  # four batches of two channels
    (pump,) = [row for key, row in rows.items() if key[:2] == ("pump 1/Ω", "x")]
    fans = [row for key, row in rows.items() if key[:2] == ("fan", "x")]
    (lone,) = [row for key, row in rows.items() if key[:2] == ("lone", "y")]
    assert (pump["samples"], pump["used"], pump["stream"]) == (2400, 2000, "vibration")
    assert pump["rate_hz"] == pytest.approx(100.0)
    assert np.argmax(pump["band_energy"]) == 1  # 2 Hz is between 1.6 and 3.1
    assert [np.argmax(fan["band_energy"]) for fan in fans] == [2, 2]
    assert sum(pump["band_energy"]) == pytest.approx(pump["std"] ** 2, rel=1e-3)
    assert len(pump["band_edges_hz"]) == BANDS + 1
    assert pump["lag_steps"] == list(LAGS)
    assert pump["lag_correlation"][0] == pytest.approx(np.cos(2 * np.pi * 2 / 100), abs=1e-3)
    assert (lone["used"], len(lone["lag_correlation"])) == (0, len(LAGS))
    assert np.isnan(lone["lag_correlation"]).all()


def test_a_record_becomes_a_table_and_a_result_once(lake: Lake, uri, tmp_path) -> None:
    done = launch(tmp_path, "--run", uri, HEADRACE_ATTEMPT="1")
    assert done.returncode == 0, done.stdout + done.stderr
    made = lake.result()
    assert made is not None
    assert (made.attempt, made.by, made.facts) == (1, "flow", {"sensors": 3, "rows": 8})
    check_features(features(lake, made.outputs))
    before = snapshot(lake)
    for attempt in ("1", "2"):
        again = launch(tmp_path, "--run", uri, HEADRACE_ATTEMPT=attempt)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "result already" in again.stdout
        assert snapshot(lake) == before


def test_artifacts_stay_small(lake: Lake, tmp_path) -> None:
    times, values = sine(3.0, rate_hz=1000.0, seconds=100.0)
    uri = lake.run(lake.bundle({"a": [(times, values)]}))
    assert launch(tmp_path, "--run", uri).returncode == 0
    raw = sum(batch.times_ns.nbytes + batch.values.nbytes for batch in read_run(uri).batches())
    kept = (path for path in (tmp_path / "metaflow").rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in kept) < raw / 10


def test_an_empty_record_still_gets_its_result(lake: Lake, tmp_path) -> None:
    done = launch(tmp_path, "--run", lake.run([]))
    assert done.returncode == 0, done.stdout + done.stderr
    made = lake.result()
    assert made is not None
    assert features(lake, made.outputs).num_rows == 0


def test_by_hand_it_reads_what_is_there_and_makes_no_result(lake: Lake, uri, tmp_path) -> None:
    done = launch(tmp_path, HEADRACE_STORE=lake.root.uri)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = [name for name in lake.store.names("adhoc/") if name.endswith(".parquet")]
    check_features(features(lake, made.removesuffix("features.parquet")))
    assert made.rpartition("/")[0] in done.stdout
    assert lake.result() is None
    assert list(lake.store.names("outputs/")) == []


def test_with_nothing_there_it_says_what_to_do_without_a_traceback(tmp_path) -> None:
    done = launch(tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "there is no Headrace store in file://" in said
    assert "headrace run" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_it_runs_on_the_articles_python_and_numpy(lake: Lake, uri, tmp_path) -> None:
    old = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    python = str(old_python())
    done = launch(tmp_path, "--run", uri, python=python, **old)
    assert done.returncode == 0, done.stdout + done.stderr
    made = lake.result()
    assert made is not None
    check_features(features(lake, made.outputs))
    since = ("--since", "2025-03-01T06:00:00Z")
    by_hand = launch(tmp_path, *since, python=python, HEADRACE_STORE=lake.root.uri, **old)
    assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
    assert "8 rows of features" in by_hand.stdout
