from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from batching.errors import SettingError
from ingest.virtual.recording import SHIPPED, Signal, signals


def only(source: Path) -> Signal:
    (found,) = signals(str(source), 1, seed=0)
    return found


def test_the_shipped_recording_is_twenty_wrists_of_six_channels_at_50_hz() -> None:
    found = signals(SHIPPED, 20, seed=0)
    assert len({signal.name for signal in found}) == 20
    assert {(signal.channels, signal.rate_hz) for signal in found} == {
        (("ax", "ay", "az", "wx", "wy", "wz"), 50.0)
    }
    for signal in found:
        assert signal.values.shape[1] == 6
        assert np.isfinite(signal.values).all()
        assert len(signal.values) > 1_000


def test_a_recording_with_too_few_sensors_serves_several_under_other_names() -> None:
    found = signals(SHIPPED, 45, seed=0)
    assert len({signal.name for signal in found}) == 45
    assert [signal.name for signal in found[:45:20]] == [
        found[0].name,
        f"{found[0].name}-2",
        f"{found[0].name}-3",
    ]
    assert found[0].values is found[40].values


@pytest.mark.parametrize("kind", ["sine", "noise"])
def test_generated_signals_repeat_by_their_seed(kind: str) -> None:
    first, again, other = (signals(kind, 3, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        assert (a.name, a.channels) == (b.name, b.channels)
        assert np.array_equal(a.values, b.values)
        assert not np.array_equal(a.values, c.values)


def test_a_sine_is_one() -> None:
    (signal,) = signals("sine", 1, seed=3)
    power = np.abs(np.fft.rfft(signal.values[:, 0]))
    hertz = np.fft.rfftfreq(len(signal.values), 1 / signal.rate_hz)
    assert hertz[power.argmax()] == pytest.approx(1.0)


def test_an_npz_is_a_sensor_an_array(tmp_path: Path) -> None:
    path = tmp_path / "press.npz"
    arrays = {"flat": np.arange(5), "wide": np.ones((4, 3), np.float32)}
    left_out = {"text": np.array(["a", "b"]), "one": np.array(5), "deep": np.zeros((2, 2, 2))}
    np.savez(path, **arrays, **left_out)
    found = {signal.name: signal for signal in signals(str(path), 2, seed=0)}
    assert found["flat"].values.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]
    assert found["wide"].channels == ("c0", "c1", "c2")
    assert found["wide"].values.dtype == np.float64


def test_a_csv_has_its_numbers_as_channels(tmp_path: Path) -> None:
    path = tmp_path / "press.csv"
    path.write_text("time,x,note,y\n1,0.5,a,1\n2,,b,2\n3,2.5,c,3\n")
    signal = only(path)
    assert (signal.name, signal.channels) == ("press", ("x", "y"))
    np.testing.assert_array_equal(signal.values, [[0.5, 1], [np.nan, 2], [2.5, 3]])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_sensor_divides_the_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plant.{suffix}"
    table = pa.table({"sensor": ["b", "a", "b"], "x": [1.0, 2.0, 3.0]})
    if suffix == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)
    found = signals(str(path), 2, seed=0)
    assert {signal.name: signal.values[:, 0].tolist() for signal in found} == {
        "b": [1.0, 3.0],
        "a": [2.0],
    }


def test_what_json_cannot_hold_is_sent_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "press.npz"
    np.savez(path, a=np.array([1.0, np.inf, -np.inf, 4.0]))
    np.testing.assert_array_equal(only(path).values[:, 0], [1.0, np.nan, np.nan, 4.0])


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("press.txt", b"", "ends in .csv, .npz, .parquet"),
        ("press", b"", "expected smartwatch, sine, noise"),
        ("none.csv", None, "no such file"),
        ("empty.csv", b"", "cannot be read"),
        ("words.csv", b"a,b\nx,y\n", "holds no numbers"),
        ("head.csv", b"x,y\n", "holds no numbers"),
        ("ragged.csv", b"x,y\n1\n1,2,3\n", "cannot be read"),
        ("bad.npz", b"PK\x03\x04 and no more", "cannot be read"),
        ("text.npz", b"no archive", "cannot be read"),
        ("bad.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_a_recording_that_cannot_be_used_is_told_by_its_path(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError) as caught:
        signals(str(path), 1, seed=0)
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


def test_an_array_alone_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "press.npz"
    with path.open("wb") as file:
        np.save(file, np.arange(5))
    with pytest.raises(SettingError, match="cannot be read"):
        only(path)
