"""What became of all cases: a table by failpoint, and the command that repeats each failure."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent

from tests.crash.cases import HERE
from tests.crash.story import Outcome

HEAD = ("failpoint", "runs", "killed", "raised", "paused", "frozen", "not reached")
HEAD_END = ("recovered in (s)", "missing", "twice", "stuck")
ACTIONS = ("kill", "raise", "pause", "freeze")


def table(outcomes: Sequence[Outcome], names: Iterable[str] = HERE) -> str:
    """Give a row for each failpoint and one for all; a pair counts in the rows of both."""
    rows = [_row(name, [o for o in outcomes if _concerns(o, name)]) for name in names]
    rows.append(_sum(outcomes))
    head = HEAD + HEAD_END
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def never_reached(outcomes: Sequence[Outcome], names: Iterable[str] = HERE) -> list[str]:
    """Name the failpoints that no case has passed."""
    reached = {name for outcome in outcomes for name in outcome.reached}
    return [name for name in names if name not in reached]


def failures(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Say what failed, and how to repeat it."""
    for each in outcomes:
        if each.failed:
            why = each.wrong or each.stuck or f"{each.missing} missing, {each.twice} twice"
            text = "\n".join((why, each.verdict, f"repeat: {each.case.command}", each.last_words))
            yield f"{each.case}\n{indent(text, '    ')}"


def _concerns(outcome: Outcome, name: str) -> bool:
    return any(spec.name == name for spec in outcome.case.specs)


def _row(name: str, concerned: Sequence[Outcome]) -> tuple[str, ...]:
    did = [outcome.reached.get(name) for outcome in concerned]
    counts = [did.count(action) for action in ACTIONS]
    return (f"`{name}`", *_counts(len(concerned), [*counts, did.count(None)]), *_end(concerned))


def _sum(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    did = [outcome.reached.get(s.name) for outcome in outcomes for s in outcome.case.specs]
    counts = [did.count(action) for action in ACTIONS]
    return ("**all**", *_counts(len(outcomes), [*counts, did.count(None)]), *_end(outcomes))


def _counts(runs: int, counts: Sequence[int]) -> tuple[str, ...]:
    return (f"{runs}", *(f"{count or '-'}" for count in counts))


def _end(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    took = [o.recovered_seconds for o in outcomes if o.recovered_seconds is not None]
    median = f"{statistics.median(took):.1f}" if took else "-"
    sums = (sum(o.missing for o in outcomes), sum(o.twice for o in outcomes))
    return (median, *map(str, sums), str(sum(bool(o.stuck) for o in outcomes)))
