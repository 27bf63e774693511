"""How commands spell times, sizes and strangers' names, and lay out what belongs together."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_SECOND_NS = 10**9
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def console() -> Console:
    """Give a console for standard output."""
    return Console(highlight=False, emoji=False)


def safe(text: str) -> str:
    """Spell text that others wrote: it steers no terminal, and is no markup."""
    return escape("".join(c if c.isprintable() else "?" for c in text))


def time(ns: int | None) -> str:
    """Spell a time, UTC; a dash where there is none."""
    if ns is None:
        return "-"
    try:
        found = datetime.fromtimestamp(ns // _SECOND_NS, UTC)
    except (ValueError, OverflowError, OSError):  # a sender's clock may say anything
        return f"{ns} ns"
    return f"{found:%Y-%m-%d %H:%M:%SZ}"


def span(begin_ns: int | None, end_ns: int | None) -> str:
    """Spell how long it took."""
    if begin_ns is None or end_ns is None:
        return "-"
    seconds = max(0.0, (end_ns - begin_ns) / _SECOND_NS)
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: int) -> str:
    """Spell a number of bytes."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def count(n: int, one: str, many: str | None = None) -> str:
    """Spell a number of things."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"


def table(*columns: str) -> Table:
    """Make a table without lines, whose rows start at the left edge."""
    made = Table(*columns, box=None, header_style="dim", pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
    return made


def show_facts(out: Console, facts: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Print names and values below each other; values wrap where the terminal ends, not before.

    Values are markup: what others wrote goes through `safe` first.
    """
    shown = [(name, value) for name, value in facts if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        out.print(f"{' ' * indent}[dim]{name:<{width}}[/]  {value}", soft_wrap=True)
