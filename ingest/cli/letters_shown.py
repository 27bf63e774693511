"""How dead letters are printed, and what was done with them; for people and as JSON."""

import base64
from collections import Counter, deque
from typing import Any

from rich.console import Console
from rich.table import Table

from batching.letters import Letter
from batching.redrive import Outcome, Places
from ingest.cli.told import safe, time

SHOWN_BYTES = 1_024
HEX_WIDTH = 16
LONGEST_EXAMPLE = 90
_LAYOUT = "\t\n\r"


class Listing:
    """Counts letters by reason and keeps the newest few, without their bodies."""

    def __init__(self, came_back: Places, limit: int) -> None:
        self._places, self._limit = came_back, limit
        self._counts: Counter[str] = Counter()
        self._back: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._kept: dict[str, deque[dict[str, Any]]] = {}  # by partition, each in its order

    def add(self, letter: Letter) -> None:
        """Take note of a letter."""
        reason = letter.letter.reason
        back = self._places.has(letter.partition, letter.number)
        self._counts[reason] += 1
        self._back[reason] += back
        self._examples.setdefault(reason, letter.letter.detail)
        kept = self._kept.setdefault(letter.partition, deque(maxlen=self._limit))
        kept.append(plain(letter, came_back=back))

    def newest(self) -> list[dict[str, Any]]:
        """Give the newest letters, the newest last."""
        every = [row for kept in self._kept.values() for row in kept]
        every.sort(key=lambda row: row["enqueued_ns"])
        return every[-self._limit :] if self._limit else []

    def plain(self) -> dict[str, Any]:
        """Give values for JSON."""
        return {
            "dead_letters": self._counts.total(),
            "re_driven": self._back.total(),
            "counts": dict(self._counts.most_common()),
            "letters": self.newest(),
        }

    def show(self, console: Console) -> None:
        """Print the counts, then the letters."""
        if not self._counts:
            console.print("no dead letters")
            return
        counts = _table("reason", "letters", "re-driven", "for example")
        for reason, count in self._counts.most_common():
            example = self._examples[reason][:LONGEST_EXAMPLE]
            counts.add_row(reason, f"{count:,}", f"{self._back[reason]:,}", safe(example))
        console.print(counts)
        rows = self.newest()
        if len(rows) < self._counts.total():
            console.print(f"the newest {len(rows):,} of {self._counts.total():,}:")
        letters = _table("letter", "reached the hub", "reason", "stream", "sender", "bytes", "")
        for row in rows:
            cells = (row["letter"], row["enqueued"], row["reason"], row["stream"], row["sender"])
            back = "re-driven" if row["re_driven"] else ""
            letters.add_row(*map(safe, cells), f"{row['body_bytes']:,}", back)
        if rows:
            console.print(letters)


def plain(letter: Letter, *, came_back: bool, whole: bool = False) -> dict[str, Any]:
    """Give one letter's values for JSON; its headers and body only if it is to be whole."""
    said = letter.letter
    facts = {
        "letter": letter.place,
        "partition": letter.partition,
        "number": letter.number,
        "enqueued": time(letter.enqueued_ns),
        "enqueued_ns": letter.enqueued_ns,
        "reason": said.reason,
        "detail": said.detail,
        "stream": letter.stream,
        "sender": letter.sender,
        "message_id": letter.message_id,
        "body_bytes": said.body_bytes,
        "re_driven": came_back,
        "refused": letter.refusal,
    }
    if not whole:
        return facts
    return {
        **facts,
        "content_type": said.content_type,
        "content_encoding": said.content_encoding,
        "partition_key": said.partition_key,
        "properties": said.properties,
        "annotations": said.annotations,
        "body": base64.b64encode(said.body).decode(),
    }


def show(letter: Letter, console: Console, *, came_back: bool) -> None:
    """Print one letter whole."""
    said = letter.letter
    state = "re-driven" if came_back else letter.refusal or "not re-driven"
    facts = {
        "letter": f"{letter.place}, {state}",
        "reason": f"{said.reason}: {said.detail}",
        "reached the hub": time(letter.enqueued_ns),
        "stream": letter.stream,
        "message id": letter.message_id,
        "partition key": said.partition_key,
        "content type": said.content_type,
        "content encoding": said.content_encoding,
        **{f"property {name}": value for name, value in sorted(said.properties.items())},
        **{f"annotation {name}": value for name, value in sorted(said.annotations.items())},
    }
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(safe(name), safe(value))
    console.print(table)
    kept = "" if said.body_bytes == len(said.body) else f", {len(said.body):,} of them kept"
    console.print(f"[dim]body, {said.body_bytes:,} bytes{kept}[/]")
    console.print(_body(said.body), markup=False, soft_wrap=True)
    if len(said.body) > SHOWN_BYTES:
        more = len(said.body) - SHOWN_BYTES
        console.print(f"[dim]and {more:,} bytes more: --body FILE writes them all[/]")


def _body(body: bytes) -> str:
    """Give text as text, other bytes in hex; only the beginning of what is long."""
    part = body[:SHOWN_BYTES]
    try:
        text = part.decode(errors="ignore" if len(body) > SHOWN_BYTES else "strict")
    except UnicodeDecodeError:
        text = ""
    if text and all(character.isprintable() or character in _LAYOUT for character in text):
        return text
    lines = (part[i : i + HEX_WIDTH] for i in range(0, len(part), HEX_WIDTH))
    return "\n".join(f"{i * HEX_WIDTH:06x}  {line.hex(' ')}" for i, line in enumerate(lines))


def plain_outcome(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """Give values for JSON."""
    return {
        "dry_run": dry_run,
        "re_driven": outcome.driven,
        "before": outcome.before,
        "refused": dict(outcome.refused),
    }


def show_outcome(outcome: Outcome, console: Console, *, dry_run: bool) -> None:
    """Print what was done."""
    if not outcome.total:
        console.print("no dead letters match")
        return
    console.print(f"{outcome.driven:,} {'would be re-driven' if dry_run else 're-driven'}")
    if outcome.before:
        console.print(f"{outcome.before:,} left out: re-driven before")
    for why, count in sorted(outcome.refused.items()):
        console.print(f"{count:,} refused: {why}", soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
