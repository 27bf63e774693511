"""Play many seeds: python -m tests.protocol.simulate [--mutations] [--without GUARD] 0 1000."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.protocol.guards import GUARDS, without
from tests.protocol.scheduler import play

BROKEN = (AssertionError, KeyError, IndexError, AttributeError, TypeError, ValueError)


@dataclass
class Outcome:
    seeds: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    stat: Counter[str] = field(default_factory=Counter)
    distance: Counter[str] = field(default_factory=Counter)  # longest in the quiet phase

    def kinds(self) -> str:
        kinds = Counter(text.split()[0] for text in self.failures.values())
        return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(3))


def simulate(seeds: Iterable[int], removed: Sequence[str] = ()) -> Outcome:
    """Play seeds with guards removed, and count what happened."""
    outcome = Outcome()
    with without(*removed):
        for seed in seeds:
            outcome.seeds += 1
            try:
                world = play(seed)
            except BROKEN as error:
                text = str(error) if isinstance(error, AssertionError) else repr(error)
                outcome.failures[seed] = text[:150]
            else:
                outcome.stat.update(world.stat)
                kind = "with parking" if world.parking else "without parking"
                outcome.distance[kind] = max(outcome.distance[kind], world.max_distance)
                if world.truth is not None:
                    records = world.truth.records.values()
                    outcome.stat["run records"] += sum(len(x) for x in records)
    return outcome


def again(outcome: Outcome) -> str:
    """Say which seeds failed, and the command that repeats each."""
    return "\n".join(
        f"{text}\n    repeat: python -m tests.protocol.simulate {seed} {seed + 1}"
        for seed, text in outcome.failures.items()
    )


def mutations(seeds: range, names: Iterable[str]) -> None:
    """Print one row per guard: how many seeds fail without it."""
    for name in names:
        outcome = simulate(seeds, name.split(","))
        what = "; ".join(GUARDS[x] for x in name.split(","))
        row = f"| {name} | {what} | {len(outcome.failures)} of {len(seeds)} | {outcome.kinds()} |"
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.protocol.simulate", description=__doc__)
    parser.add_argument("--mutations", action="store_true", help="remove each guard in turn")
    parser.add_argument("--without", action="append", default=[], metavar="GUARD")
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.end)
    if options.mutations:
        mutations(seeds, options.without or GUARDS)
        return 0
    outcome = simulate(seeds, options.without)
    sys.stdout.write(f"{outcome.seeds} seeds, {len(outcome.failures)} failed\n")
    for seed, text in list(outcome.failures.items())[:10]:
        sys.stdout.write(f"  seed {seed}: {text}\n")
    for name, count in sorted(outcome.stat.items()):
        sys.stdout.write(f"{count:12,} {name}\n")
    for name, distance in outcome.distance.items():
        sys.stdout.write(f"{distance:12} replay distance at most, {name}\n")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
