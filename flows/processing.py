"""From raw samples to features: plain functions on numpy arrays, each with its source.

Samples come irregularly, in several chunks, some twice, with holes. `clean` puts them in
order, `uniform_pieces` lays a channel on an even grid without bridging long holes, and
`band_energies` and `lag_correlations` look at the pieces. What cannot be known is NaN.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

NANOSECONDS = 1e9
MAX_GAP_STEPS = 4.0  # a hole up to this many usual distances is bridged by a line
NOISE_FLOOR = 1e-24  # relative energy below which a signal counts as constant


def clean(times_ns: Times, values: NDArray[np.generic]) -> "tuple[Times, Floats]":
    """Put samples in the order of time, each moment once, without rows that hold nothing.

    Args:
        times_ns: nanoseconds UTC since the epoch, shape (n,), in any order.
        values: shape (n, channels), any real dtype; infinite counts as missing.

    Returns:
        Strictly increasing times of shape (m,), m <= n, and values of shape (m, channels),
        missing ones NaN. Of several samples of one moment the one that came first is kept:
        they are events that were sent again.

    """
    held = np.asarray(values, dtype=np.float64)
    held = np.where(np.isfinite(held), held, np.nan)
    full = ~np.isnan(held).all(axis=1)
    times, held = np.asarray(times_ns)[full], held[full]
    times, first = np.unique(times, return_index=True)
    return times, held[first]


def sampling_rate_hz(times_ns: Times) -> float:
    """Estimate how often a sensor measures: one by the median distance of its samples.

    Args:
        times_ns: strictly increasing, shape (n,).

    Returns:
        Samples a second; NaN for fewer than two samples.

    """
    if len(times_ns) < 2:  # noqa: PLR2004
        return float("nan")
    return float(NANOSECONDS / np.median(np.diff(times_ns)))


def describe(signal: Floats) -> "dict[str, float]":
    """Give how many samples of one channel are known, their mean and standard deviation.

    Args:
        signal: shape (n,); NaN where it is missing. Without any the two are NaN.

    """
    known = signal[~np.isnan(signal)]
    if not len(known):
        return {"used": 0, "mean": float("nan"), "std": float("nan")}
    return {"used": len(known), "mean": float(known.mean()), "std": float(known.std())}


def uniform_pieces(
    times_ns: Times,
    signal: Floats,
    rate_hz: float,
    *,
    max_gap_steps: float = MAX_GAP_STEPS,
    min_points: int = 8,
) -> "list[Floats]":
    """Lay one channel on even grids by linear interpolation, one for each stretch without a hole.

    Args:
        times_ns: strictly increasing, shape (n,).
        signal: one channel, shape (n,); NaN where it is missing.
        rate_hz: points a second on the grid; NaN gives no pieces.
        max_gap_steps: longest hole to bridge, in grid steps.
        min_points: shorter stretches are left out.

    Returns:
        Pieces of shape (m,), together at most about `max_gap_steps` points a sample.

    """
    known = ~np.isnan(signal)
    if not np.isfinite(rate_hz) or known.sum() < 2:  # noqa: PLR2004
        return []
    step_ns = NANOSECONDS / rate_hz
    times, signal = times_ns[known], signal[known]
    holes = np.flatnonzero(np.diff(times) > max_gap_steps * step_ns) + 1
    starts, ends = np.r_[0, holes], np.r_[holes, len(times)]
    points = np.floor((times[ends - 1] - times[starts]) / step_ns + 1e-6).astype(int) + 1
    pieces = []
    for k in np.flatnonzero(points >= min_points):
        a, b = starts[k], ends[k]
        elapsed = (times[a:b] - times[a]).astype(np.float64)  # small numbers keep their digits
        pieces.append(np.interp(np.arange(points[k]) * step_ns, elapsed, signal[a:b]))
    return pieces


def octave_edges_hz(rate_hz: float, bands: int) -> Floats:
    """Divide 0 Hz to half the sampling rate into octaves, the lowest band taking the rest.

    Returns:
        Edges in Hz, ascending, shape (bands + 1,).

    """
    return np.array([0.0, *(rate_hz / 2.0**k for k in range(bands, 0, -1))])


def band_energies(pieces: "Iterable[Floats]", rate_hz: float, edges_hz: Floats) -> Floats:
    """Measure how a signal's variance divides among frequency bands.

    Each piece, less its mean, goes through ideal band filters in the frequency domain.

    Args:
        pieces: signals on an even grid, each of shape (m,).
        rate_hz: points a second on the grid.
        edges_hz: ascending, shape (bands + 1,); a band has its lower edge, the highest both.

    Returns:
        Mean square of each band in the signal's unit squared, shape (bands,). Bands from
        0 Hz to half the rate add up to the variance within pieces. NaN without pieces.

    Source:
        Parseval's theorem for the real discrete Fourier transform: Oppenheim and Schafer,
        Discrete-Time Signal Processing, section 8.6.

    """
    bands, points = len(edges_hz) - 1, 0
    energy = np.zeros(bands)
    for piece in pieces:
        spectrum = np.abs(np.fft.rfft(piece - piece.mean())) ** 2
        spectrum[1:] *= 2.0  # the negative frequencies, which rfft leaves out
        if len(piece) % 2 == 0:
            spectrum[-1] /= 2.0  # half the rate has no twin
        at_hz = np.fft.rfftfreq(len(piece), 1.0 / rate_hz)
        band = np.searchsorted(edges_hz, at_hz, side="right") - 1
        band[np.isclose(at_hz, edges_hz[-1])] = bands - 1
        inside = (band >= 0) & (band < bands)
        energy += np.bincount(band[inside], spectrum[inside], bands) / len(piece)
        points += len(piece)
    return energy / points if points else np.full(bands, np.nan)


def lag_correlations(pieces: "Iterable[Floats]", lags: "Sequence[int]") -> Floats:
    """Compare a signal with itself, some grid steps later.

    Each lag is normalised by the energy of the very points that it compares, so a periodic
    signal gives 1 at its period, whatever its length, and no value leaves [-1, 1].

    Args:
        pieces: signals on an even grid, each of shape (m,); pairs never span two of them.
        lags: grid steps, each above zero.

    Returns:
        Correlation at each lag, shape (lags,). NaN where no piece is longer than the lag,
        or where what is compared is constant.

    Source:
        Normalised cross-correlation function: Talkin, A robust algorithm for pitch tracking
        (RAPT), in Speech Coding and Synthesis, 1995; products by FFT (Wiener-Khinchin).

    """
    wanted = np.asarray(lags)
    product, early, late = np.zeros((3, len(wanted)))
    total = peak = 0.0
    for piece in pieces:
        signal = piece - piece.mean()
        usable = wanted < len(signal)
        energy = np.r_[0.0, np.cumsum(signal**2)]
        product[usable] += _autocorrelation(signal)[wanted[usable]]
        early[usable] += energy[len(signal) - wanted[usable]]
        late[usable] += energy[-1] - energy[wanted[usable]]
        total, peak = total + energy[-1], max(peak, np.abs(piece).max() ** 2 * len(piece))
    scale = np.sqrt(early * late)
    known = scale > max(NOISE_FLOOR * peak, 1e-9 * total)
    correlation = np.divide(product, scale, out=np.full(len(wanted), np.nan), where=known)
    bounded: Floats = np.clip(correlation, -1.0, 1.0)
    return bounded


def _autocorrelation(signal: Floats) -> Floats:
    size = 1 << (2 * len(signal) - 1).bit_length()  # room enough that the ends do not meet
    spectrum = np.fft.rfft(signal, size)
    products: Floats = np.fft.irfft(np.abs(spectrum) ** 2, size)
    return products[: len(signal)]
