"""What the numbers must be, on signals whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flows import processing

RATE_HZ = 100.0
SECOND_NS = 10**9
signals = arrays.arrays(
    np.float64, st.integers(8, 300), elements=st.floats(-1e6, 1e6, allow_subnormal=False)
)


def swing(frequency_hz: float, seconds: float = 10.0) -> processing.Floats:
    return np.sin(2 * np.pi * frequency_hz * np.arange(0, seconds, 1 / RATE_HZ))


@given(
    times=arrays.arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 50)),
    seed=st.integers(0, 99),
)
def test_clean_gives_each_known_moment_once_in_order(times, seed) -> None:
    values = np.random.default_rng(seed).normal(size=(len(times), 2))
    values[values > 1.5] = np.nan
    values[values < -1.5] = np.inf
    cleaned, held = processing.clean(times, values)
    known = np.isfinite(values).any(axis=1)
    assert cleaned.tolist() == sorted(set(times[known].tolist()))
    assert held.shape == (len(cleaned), 2)
    assert not np.isinf(held).any()


def test_of_samples_sent_twice_the_first_is_kept() -> None:
    times, values = processing.clean(np.array([5, 3, 5, 3]), np.array([[1], [2], [9], [2]]))
    assert times.tolist() == [3, 5]
    assert values.tolist() == [[2.0], [1.0]]


def test_the_rate_is_that_of_the_usual_distance_not_of_the_holes() -> None:
    times = np.r_[np.arange(50), np.arange(5000, 5050)] * 10_000_000
    assert processing.sampling_rate_hz(times) == pytest.approx(RATE_HZ)


def test_a_line_that_is_sampled_irregularly_stays_a_line_on_the_grid() -> None:
    times = np.sort(np.random.default_rng(1).choice(3 * SECOND_NS, 400, replace=False))
    (piece,) = processing.uniform_pieces(times, times * 2e-9, RATE_HZ, max_gap_steps=50)
    assert np.allclose(np.diff(piece), 2 / RATE_HZ)


def test_a_long_hole_divides_and_a_short_one_is_bridged() -> None:
    times = np.r_[np.arange(50), np.arange(53, 100), np.arange(5000, 5020)] * 10_000_000
    pieces = processing.uniform_pieces(times, np.arange(len(times), dtype=float), RATE_HZ)
    assert [len(piece) for piece in pieces] == [100, 20]


def test_a_missing_value_of_one_channel_is_bridged() -> None:
    signal = swing(1.0)
    signal[100] = np.nan
    times = np.arange(len(signal)) * 10_000_000
    (piece,) = processing.uniform_pieces(times, signal, RATE_HZ)
    assert np.abs(piece - swing(1.0)).max() < 0.01


@given(times=arrays.arrays(np.int64, st.integers(0, 200), elements=st.integers(0, 10**13)))
def test_a_grid_is_never_much_larger_than_what_was_sampled(times) -> None:
    times = np.unique(times)
    rate_hz = processing.sampling_rate_hz(times)
    pieces = processing.uniform_pieces(times, np.ones(len(times)), rate_hz)
    assert sum(map(len, pieces)) <= (processing.MAX_GAP_STEPS + 1) * len(times)


@pytest.mark.parametrize(("frequency_hz", "band"), [(1.0, 0), (2.0, 1), (5.0, 2), (40.0, 5)])
def test_the_energy_of_a_sine_falls_into_its_band(frequency_hz, band) -> None:
    edges_hz = processing.octave_edges_hz(RATE_HZ, 6)
    energies = processing.band_energies([swing(frequency_hz)], RATE_HZ, edges_hz)
    assert edges_hz[band] <= frequency_hz < edges_hz[band + 1]
    assert energies[band] == pytest.approx(0.5)
    assert np.delete(energies, band) == pytest.approx(0, abs=1e-9)


@given(pieces=st.lists(signals, min_size=1, max_size=3), bands=st.integers(1, 9))
def test_bands_add_up_to_the_variance(pieces, bands) -> None:
    edges_hz = processing.octave_edges_hz(RATE_HZ, bands)
    energies = processing.band_energies(pieces, RATE_HZ, edges_hz)
    total = sum(piece.var() * len(piece) for piece in pieces) / sum(map(len, pieces))
    assert (energies >= 0).all()
    assert energies.sum() == pytest.approx(total, rel=1e-9, abs=1e-9)


def test_a_periodic_signal_is_itself_again_after_its_period_and_opposite_after_half() -> None:
    correlation = processing.lag_correlations([swing(2.0)], [25, 50])
    assert correlation == pytest.approx([-1, 1], abs=1e-3)


def test_lags_agree_with_the_sum_written_out() -> None:
    signal = np.random.default_rng(3).normal(size=200).cumsum()
    (found,) = processing.lag_correlations([signal], [7])
    x = signal - signal.mean()
    wanted = x[:-7] @ x[7:] / np.sqrt((x[:-7] @ x[:-7]) * (x[7:] @ x[7:]))
    assert found == pytest.approx(wanted)


def test_pairs_never_span_two_pieces() -> None:
    halves = [swing(2.0, 5.0), swing(2.0, 5.0)]
    whole = processing.lag_correlations(halves, [50])
    assert whole == pytest.approx([1], abs=1e-3)
    assert np.isnan(processing.lag_correlations(halves, [500])).all()


@given(pieces=st.lists(signals, max_size=3))
def test_no_correlation_leaves_its_range(pieces) -> None:
    correlation = processing.lag_correlations(pieces, [1, 2, 7, 100, 1000])
    known = correlation[~np.isnan(correlation)]
    assert ((known >= -1) & (known <= 1)).all()
    assert np.isnan(correlation[-1])


@pytest.mark.parametrize("level", [0.0, 7.0, 1e9 + 0.1])
def test_a_constant_has_no_energy_and_no_correlation(level) -> None:
    constant = np.full(500, level)
    edges_hz = processing.octave_edges_hz(RATE_HZ, 4)
    energies = processing.band_energies([constant], RATE_HZ, edges_hz)
    assert energies.sum() <= 1e-24 * level**2
    assert np.isnan(processing.lag_correlations([constant], [1, 10])).all()


@pytest.mark.parametrize("times", [[], [5], [5, 6]])
@pytest.mark.parametrize("value", [1.0, np.nan, np.inf])
def test_too_little_gives_nan_and_no_error(times, value) -> None:
    cleaned, held = processing.clean(np.array(times, np.int64), np.full((len(times), 1), value))
    rate_hz = processing.sampling_rate_hz(cleaned)
    pieces = processing.uniform_pieces(cleaned, held[:, 0], rate_hz)
    edges_hz = processing.octave_edges_hz(rate_hz, 3)
    described = processing.describe(held[:, 0])
    assert pieces == []
    assert np.isnan(processing.band_energies(pieces, rate_hz, edges_hz)).all()
    assert np.isnan(processing.lag_correlations(pieces, [1])).all()
    assert described["used"] == (len(times) if np.isfinite(value) else 0)
