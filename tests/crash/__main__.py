"""Kill the service at every step, start it again, verify: python -m tests.crash --seed 1."""

import argparse
import asyncio
import itertools
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.crash.cases import Case, case, cases
from tests.crash.place import Place, opened
from tests.crash.story import Outcome, Story
from tests.crash.table import failures, never_reached, table

MEMORY = Path("/dev/shm")  # noqa: S108 killed processes lose nothing there, and nobody waits for a disk
RUNS = 320  # with fewer, some failpoints may well be left out
AT_A_PLACE = 100  # cases that share a hub process and a Valkey
EXAMPLES = """
Examples:
  python -m tests.crash                          320 cases of seed 1, what `make crash-test` does
  python -m tests.crash --seed 7 --case 31       one case again; its files are kept
  python -m tests.crash --seed 2 --runs 2000 --jobs 1
  python -m tests.crash --seed 2 --first 2000 --runs 100    go on behind these
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play cases; 1 if one failed or a failpoint was never passed."""
    options = _options(arguments)
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # of links that a killed hub leaves
    chosen = (
        [case(options.seed, options.case)]
        if options.case is not None
        else list(
            itertools.islice(cases(options.seed), options.first, options.first + options.runs)
        )
    )
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for first in range(0, len(chosen), AT_A_PLACE):
        some = chosen[first : first + AT_A_PLACE]
        folder = Path(tempfile.mkdtemp(prefix="crash-", dir=MEMORY if MEMORY.is_dir() else None))
        outcomes += asyncio.run(_play(some, folder, options))
        if len(outcomes) < len(chosen):  # a long run says how far it is
            _say(f"\nafter {len(outcomes)} of {len(chosen)}:\n{table(outcomes)}")
        if not options.keep and not any(each.failed for each in outcomes):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _say(f"files are kept in {folder}")
    return _conclude(outcomes, time.monotonic() - began)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="which cases (default: 1)")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many (default: {RUNS})")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (default: 0)")
    parser.add_argument("--case", type=int, help="only this one, with its files kept")
    parser.add_argument("--jobs", type=int, default=8, help="at once (default: 8); most wait")
    parser.add_argument("--keep", action="store_true", help="keep all files")
    options = parser.parse_args(arguments)
    if min(options.runs, options.jobs) < 1 or min(options.first, options.case or 0) < 0:
        parser.error("--runs and --jobs are 1 or more, --first and --case 0 or more")
    options.keep = options.keep or options.case is not None
    return options


async def _play(chosen: Sequence[Case], folder: Path, options: argparse.Namespace) -> list[Outcome]:
    room = asyncio.Semaphore(options.jobs)
    hubs = [(f"c{case.number:05d}", case.partitions) for case in chosen]

    async def play(each: Case, place: Place, hub: str) -> Outcome:
        async with room:
            story = Story(each, place, hub)
            outcome = await story.play()
            _tell(outcome)
            if not (options.keep or outcome.failed):
                # a run that outlives its service may still be writing there
                shutil.rmtree(story.folder, ignore_errors=True)
            return outcome

    async with opened(folder, hubs) as place:
        playing = (play(c, place, hub) for c, (hub, _) in zip(chosen, hubs, strict=True))
        return list(await asyncio.gather(*playing))


def _tell(outcome: Outcome) -> None:
    word = "FAILED" if outcome.failed else "ok"
    _say(f"{time.strftime('%H:%M:%S')} {word} {outcome.took_seconds:5.1f} s  {outcome.case}")
    for line in failures([outcome]):
        _say(line)


def _conclude(outcomes: Sequence[Outcome], seconds: float) -> int:
    _say("")
    _say(table(outcomes))
    missed = never_reached(outcomes) if len(outcomes) >= RUNS else []
    if missed:
        _say(f"never reached: {', '.join(missed)}")
    failed = [each for each in outcomes if each.failed]
    for line in failures(failed):
        _say(line)
    kills = sum(each.kills for each in outcomes)
    _say(f"{len(outcomes)} cases, {kills} kills, {len(failed)} failed, {seconds:.0f} s")
    return 1 if failed or missed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
