"""Play many seeds, or the same seeds without one guard after another.

python -m tests.protocol.simulate --jobs 2 0 5000                    # seeds 0 to 4999
python -m tests.protocol.simulate --jobs 2 --mutations 0 40          # a row for each guard
python -m tests.protocol.simulate --without "ack last" 7 8           # one seed without one guard
"""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.protocol.guards import GUARDS, without
from tests.protocol.scheduler import play

BROKEN = (AssertionError, KeyError, IndexError, AttributeError, TypeError, ValueError)
CHUNK = 10  # seeds that a process plays at a time
PROGRESS_SECONDS = 30


@dataclass
class Outcome:
    """What a number of seeds came to."""

    seeds: int = 0
    failures: dict[int, str] = field(default_factory=dict)
    stat: Counter[str] = field(default_factory=Counter)
    distance: Counter[str] = field(default_factory=Counter)  # longest in the quiet phase

    def kinds(self) -> str:
        kinds = Counter(text.split()[0] for text in self.failures.values())
        return ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(3))

    def add(self, other: "Outcome") -> None:
        self.seeds += other.seeds
        self.failures.update(other.failures)
        self.stat.update(other.stat)
        for kind, distance in other.distance.items():
            self.distance[kind] = max(self.distance[kind], distance)


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


def again(outcome: Outcome, removed: Sequence[str] = ()) -> str:
    """Say which seeds failed, and the command that repeats each."""
    options = "".join(f' --without "{name}"' for name in removed)
    return "\n".join(
        f"{text}\n    repeat: python -m tests.protocol.simulate{options} {seed} {seed + 1}"
        for seed, text in sorted(outcome.failures.items())
    )


def simulate_apart(seeds: range, removed: Sequence[str] = (), jobs: int = 2) -> Outcome:
    """Play seeds in processes of their own, and tell how far they are."""
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    outcome, started, told = Outcome(), time.monotonic(), 0.0
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(simulate, chunks, [removed] * len(chunks)):
            outcome.add(part)
            seconds = time.monotonic() - started
            if seconds - told > PROGRESS_SECONDS:
                told = seconds
                done, failed = outcome.seeds, len(outcome.failures)
                sys.stderr.write(
                    f"{done:,} of {len(seeds):,} seeds, {failed} failed, {seconds:.0f} s\n"
                )
    return outcome


def mutations(seeds: range, names: Sequence[str], jobs: int) -> Iterator[tuple[str, Outcome]]:
    """Give what the seeds come to without each guard, or without several, named "one,other"."""
    removed = [name.split(",") for name in names]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from zip(names, pool.map(simulate, [seeds] * len(names), removed), strict=True)


def row(name: str, outcome: Outcome) -> str:
    """Give a guard's row of the table in docs/explanation/protocol.md."""
    what = "; ".join(GUARDS[x] for x in name.split(","))
    return f"| {name} | {what} | {len(outcome.failures)} of {outcome.seeds} | {outcome.kinds()} |"


def report(outcome: Outcome, removed: Sequence[str]) -> str:
    lines = [f"{outcome.seeds:,} seeds, {len(outcome.failures)} failed"]
    if outcome.failures:
        lines.append(again(outcome, removed))
    lines += [f"{count:12,} {name}" for name, count in sorted(outcome.stat.items())]
    for name, distance in sorted(outcome.distance.items()):
        lines.append(f"{distance:12} replay distance at most, {name}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.protocol.simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mutations", action="store_true", help="remove each guard in turn")
    parser.add_argument(
        "--without", action="append", default=[], metavar="GUARD",
        help='a name in guards.py; with --mutations several may be joined: "behind,rising"',
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("first", type=int, metavar="FIRST", help="first seed")
    parser.add_argument("end", type=int, metavar="END", help="the seed after the last")
    options = parser.parse_args(arguments)
    unknown = {x for name in options.without for x in name.split(",")} - set(GUARDS)
    if unknown:
        parser.error(f"--without: no such guard: {', '.join(sorted(unknown))}; see guards.py")
    if options.jobs < 1 or options.end <= options.first:
        parser.error("--jobs is at least 1, and END is above FIRST")
    seeds = range(options.first, options.end)
    if options.mutations:
        for name, outcome in mutations(seeds, options.without or list(GUARDS), options.jobs):
            sys.stdout.write(row(name, outcome) + "\n")
            sys.stdout.flush()
        return 0
    removed = [x for name in options.without for x in name.split(",")]
    outcome = simulate_apart(seeds, removed, options.jobs)
    sys.stdout.write(report(outcome, removed) + "\n")
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
