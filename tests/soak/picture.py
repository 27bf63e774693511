"""The picture of a soak: five curves over time, faults as marks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # no screen

from matplotlib import pyplot as plt

from tests.soak.faults import FAULTS

Sample = dict[str, Any]
WINDOW = 5  # samples over which a rate is taken
MIB = 2**20
_PALETTE = ("#d62728", "#9467bd", "#ff7f0e", "#e377c2", "#17becf", "#7f7f7f")
COLOURS = dict(zip(FAULTS, _PALETTE, strict=True))


def draw(samples: Sequence[Sample], faults: Sequence[Sample], path: Path, title: str) -> None:
    """Write a PNG."""
    figure, axes = plt.subplots(5, 1, figsize=(12, 14), sharex=True, constrained_layout=True)
    figure.suptitle(title, fontsize=12)
    rates, batches, distance, memory, files = axes
    _rate(rates, samples, "sent", "accepted by the hub")
    _rate(rates, samples, "received", "received by the service")
    rates.set_ylabel("events a second")
    _line(batches, samples, "open_batches", "open batches")
    batches.set_ylabel("open batches")
    _line(distance, samples, "checkpoint_distance_events", "checkpoint to newest event in Redis")
    _line(distance, samples, "parked_events", "parked")
    distance.set_ylabel("events")
    for name in ("service_one", "service_two", "valkey"):
        _line(memory, samples, f"{name}_pss_bytes", name.replace("_", " "), scale=MIB)
        _line(files, samples, f"{name}_files", name.replace("_", " "))
    memory.set_ylabel("memory, PSS (MiB)")
    files.set_ylabel("open files")
    files.set_xlabel("seconds")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_ylim(bottom=0)
        for fault in faults:
            axis.axvline(fault["at"], color=COLOURS[fault["fault"]], lw=1, alpha=0.6)
        if axis.lines[0].get_label() and any(
            not line.get_label().startswith("_") for line in axis.lines
        ):
            axis.legend(loc="upper left", fontsize=8)
    marks = [plt.Line2D([], [], color=colour, label=name) for name, colour in COLOURS.items()]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=9)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _line(
    axis: Any, samples: Sequence[Sample], key: str, label: str, *, scale: float = 1.0
) -> None:
    """Draw a curve with gaps where there was no answer."""
    if any(key in sample for sample in samples):
        values = [sample[key] / scale if key in sample else float("nan") for sample in samples]
        axis.plot([sample["at"] for sample in samples], values, lw=1.2, label=label)


def _rate(axis: Any, samples: Sequence[Sample], key: str, label: str) -> None:
    pairs = [
        (late["at"], max(0, late[key] - early[key]) / (late["at"] - early["at"]))
        for early, late in zip(samples, samples[WINDOW:], strict=False)
    ]
    axis.plot([at for at, _ in pairs], [rate for _, rate in pairs], lw=1.2, label=label)
