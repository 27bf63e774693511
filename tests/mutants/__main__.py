"""Take each guard out of the product and see that tests fail: python -m tests.mutants [NAME...].

Works on copies; `--list` tells the mutants, `--jobs 2` runs two at a time. Prints a row for each,
and ends with 1 if one of them is noticed by no test.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.run import Verdict, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants that are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = {mutant.name: mutant for mutant in MUTANTS}
    parser.add_argument("name", nargs="*", help="all if left out")
    parser.add_argument("--list", action="store_true", help="tell the mutants and run none")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (1)")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.name) - set(known)):
        parser.error(f"no such mutant: {', '.join(unknown)}; see --list")
    chosen = [known[name] for name in options.name] or list(MUTANTS)
    if options.list:
        print("\n".join(f"{mutant.name:24} {mutant.guard}" for mutant in chosen))
        return 0
    print("| taken away | in | noticed by |\n|---|---|---|", flush=True)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        verdicts = list(pool.map(_row, chosen))
    unnoticed = [verdict for verdict in verdicts if not verdict.noticed]
    print(f"\n{len(verdicts)} mutants, {len(unnoticed)} noticed by no test")
    for verdict in unnoticed:
        print(f"{verdict.mutant.name}: {verdict.said}")
    return 1 if unnoticed else 0


def _row(mutant: Mutant) -> Verdict:
    verdict = run(mutant)
    by = verdict.failed or "**nothing**"
    print(f"| {mutant.guard} | `{mutant.file}` | {by} |", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
