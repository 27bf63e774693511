"""The senders' side: each message that was sent is in the store, with its samples and their sum.

A sender logs one JSON line for each event that the hub accepted:

    {"id": "wrist-03-17", "sensor": "wrist-03", "samples": 120, "sum": -41.25}

`id` is the event's message id; a message sent twice stands there twice. An event that nobody
can decode has `"samples": 0` and no `sum`; it must be a dead letter.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from batching.errors import SettingError
from batching.model import Entry
from batching.verify.report import Report

RELATIVE = 1e-6  # of the samples' sizes: sums are added in another order, float32 streams round


@dataclass(slots=True)
class _Sent:
    """One message id: how often it was sent, and what it held."""

    times: int
    samples: int
    total: float | None
    found: int = 0
    set_aside: int = 0  # found as a dead letter, although it has samples


class Sum(NamedTuple):
    """What one chunk in the store adds up to; `size` is the sum without signs."""

    total: float
    size: float


class Senders:
    """Holds what was sent against what is found."""

    def __init__(self, lines: Iterable[str], source: str) -> None:
        self._sent: dict[str, _Sent] = {}
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._add(line, f"{source}, line {number}")

    @classmethod
    def read(cls, path: Path) -> "Senders":
        """Read a senders' log.

        Raises:
            SettingError: there is no such file, or a line is no such record.

        """
        try:
            with path.open(encoding="utf-8") as lines:
                return cls(lines, path.name)
        except UnicodeDecodeError as error:
            raise SettingError(f"--against {path}: not a senders' log, nor UTF-8") from error
        except OSError as error:
            raise SettingError(f"--against {path}: {error.strerror}") from error

    def _add(self, line: str, where: str) -> None:
        try:
            plain = json.loads(line)
            message, samples = str(plain["id"]), int(plain["samples"])
            total = None if plain.get("sum") is None else float(plain["sum"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise SettingError(f"{where}: not a line of a senders' log ({error})") from error
        sent = self._sent.setdefault(message, _Sent(0, samples, total))
        sent.times += 1

    def begin_anew(self) -> None:
        """Forget what was found: everything is read once more."""
        for sent in self._sent.values():
            sent.found = sent.set_aside = 0

    def watch(self, entry: Entry, rows: Any, table: Any) -> None:
        """Take note of one batch: its rows of the table of chunks, and its bundle."""
        ids = rows["message_id"].to_pylist()
        sums = self._sums(entry, rows, table)
        for message, count, total in zip(ids, rows["rows"].to_pylist(), sums, strict=True):
            sent = self._sent.get(message)
            if sent is None:
                continue
            sent.found += 1
            self._compare(sent, count, total)

    @staticmethod
    def _compare(sent: _Sent, count: int, found: Sum | None) -> None:
        if found is None:
            sent.set_aside += sent.total is not None
            return
        same = (
            sent.total is not None
            and sent.samples == count
            and math.isclose(found.total, sent.total, rel_tol=RELATIVE, abs_tol=_slack(found.size))
        )
        if not same:
            sent.found = -1_000_000  # whatever else comes, this message did not arrive as sent

    @staticmethod
    def _sums(entry: Entry, rows: Any, table: Any) -> list[Sum | None]:
        """Sum all channels of each chunk; a dead letter has none. NaN counts as nothing."""
        channels = [name for name in table.schema.names if name not in ("time", "sensor")]
        if "body_bytes" in channels:
            return [None] * rows.num_rows
        part = table.slice(entry.rows[0], entry.rows[1] - entry.rows[0])
        per_row = np.zeros((part.num_rows, 2))
        for channel in channels:
            values = part[channel].to_numpy().astype(np.float64)
            values = np.where(np.isnan(values), 0.0, values)
            per_row += np.column_stack([values, np.abs(values)])
        counts = rows["rows"].to_numpy()
        filled = counts > 0
        sums = np.zeros((rows.num_rows, 2))
        if filled.any():
            sums[filled] = np.add.reduceat(per_row, (np.cumsum(counts) - counts)[filled])
        return [Sum(total, size) for total, size in sums.tolist()]

    def judge(self, report: Report) -> None:
        """Say what was sent and is not there, or not as it was sent.

        As many as are open may only be waiting for their seal, and as many as are lost were never
        there to be read; which ones, the store cannot know.
        """
        report.sent = sum(sent.times for sent in self._sent.values())
        absent = sum(s.times - s.found for s in self._sent.values() if 0 <= s.found < s.times)
        waiting = absent <= report.open + report.lost.count
        report.sent_lost = min(absent, report.lost.count) if waiting else 0
        for message, sent in self._sent.items():
            if sent.found < 0:
                report.damaged.add(f"message {message} does not hold what was sent")
            elif sent.found < sent.times and not waiting:
                report.missing.add(
                    f"message {message}: sent {sent.times} times, found {sent.found}",
                    sent.times - sent.found,
                )
            report.sent_twice += max(0, sent.times - 1)
            report.sent_set_aside += sent.set_aside


def _slack(size: float) -> float:
    return RELATIVE * (1e-3 + size) if math.isfinite(size) else 0.0
