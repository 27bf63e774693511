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
from typing import Any

import numpy as np

from batching.errors import SettingError
from batching.model import Entry
from batching.verify.report import Report

RELATIVE = 1e-6  # sums are added in another order, and float32 streams round


@dataclass(slots=True)
class _Sent:
    """One message id: how often it was sent, and what it held."""

    times: int
    samples: int
    total: float | None
    found: int = 0


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
        except OSError as error:
            raise SettingError(f"--against {path}: {error.strerror}") from error

    def _add(self, line: str, where: str) -> None:
        try:
            plain = json.loads(line)
            message, samples, total = plain["id"], int(plain["samples"]), plain.get("sum")
        except (ValueError, KeyError, TypeError) as error:
            raise SettingError(f"{where}: not a line of a senders' log ({error})") from error
        sent = self._sent.setdefault(message, _Sent(0, samples, total))
        sent.times += 1

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
    def _compare(sent: _Sent, count: int, total: float | None) -> None:
        same = total is None or (
            sent.total is not None
            and sent.samples == count
            and math.isclose(total, sent.total, rel_tol=RELATIVE, abs_tol=RELATIVE * (1 + count))
        )
        if not same:
            sent.found = -1_000_000  # whatever else comes, this message did not arrive as sent

    @staticmethod
    def _sums(entry: Entry, rows: Any, table: Any) -> list[float | None]:
        """Sum all channels of each chunk; a dead letter has none."""
        channels = [name for name in table.schema.names if name not in ("time", "sensor")]
        if "body_bytes" in channels:
            return [None] * rows.num_rows
        part = table.slice(entry.rows[0], entry.rows[1] - entry.rows[0])
        per_row = np.zeros(part.num_rows)
        for channel in channels:
            per_row += np.nan_to_num(part[channel].to_numpy())
        ends = np.cumsum(rows["rows"].to_numpy())
        edges = np.concatenate([[0], np.cumsum(per_row)[ends - 1]]) if len(ends) else np.zeros(1)
        return [float(total) for total in np.diff(edges)]

    def judge(self, report: Report) -> None:
        """Say what was sent and is not there, or not as it was sent."""
        report.sent = sum(sent.times for sent in self._sent.values())
        for message, sent in self._sent.items():
            if sent.found < 0:
                report.damaged.add(f"message {message} does not hold what was sent")
            elif sent.found < sent.times:
                report.missing.add(
                    f"message {message}: sent {sent.times} times, found {sent.found}",
                    sent.times - sent.found,
                )
            report.sent_twice += max(0, sent.times - 1)
