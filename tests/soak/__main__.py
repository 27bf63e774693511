"""Load and random faults for a while, then verify: python -m tests.soak --minutes 3."""

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from batching.verify import Report
from tests.soak.faults import FAULTS
from tests.soak.picture import draw
from tests.soak.site import Site
from tests.soak.watch import Watch

BETWEEN_SECONDS = (4.0, 12.0)  # from the end of a fault to the next
QUIET_SECONDS = 10.0  # at the end: no faults any more
PATIENCE_SECONDS = 300.0
EXAMPLES = """
Examples:
  python -m tests.soak --minutes 3               picture and log in ./soak
  python -m tests.soak --minutes 30 --rate 200 --seed 7 --out /tmp/soak
"""


class Soak:
    """Everything that goes on at once, and its log."""

    def __init__(self, site: Site, log: TextIO, options: argparse.Namespace) -> None:
        self._site, self._log, self._options = site, log, options
        self._rng, self._began = random.Random(options.seed), time.monotonic()
        self.samples: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []

    def _note(self, notes: list[dict[str, Any]], **facts: Any) -> None:
        line = {"at": round(time.monotonic() - self._began, 2), **facts}
        notes.append(line)
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    async def run(self) -> Report:
        """Work until the time is over; give what verify says."""
        end = self._began + 60 * self._options.minutes
        watching = asyncio.create_task(self._watch())
        harming = asyncio.create_task(self._harm(end - QUIET_SECONDS))
        await asyncio.gather(self._site.send(self._options.rate, end), harming)
        report = await self._settled()
        watching.cancel()
        verdict = report.plain()
        self._note([], verdict=report.closing_line(), **{k: verdict[k] for k in ("sent", "events")})
        return report

    async def _watch(self) -> None:
        watch = Watch(self._site)
        while True:
            self._note(self.samples, **await watch.sample())
            await asyncio.sleep(1.0)

    async def _harm(self, until: float) -> None:
        """Do each kind of harm in turn, in a new order each time."""
        order: list[str] = []
        while True:
            await asyncio.sleep(self._rng.uniform(*BETWEEN_SECONDS))
            if time.monotonic() > until:
                return
            order = order or self._rng.sample(sorted(FAULTS), len(FAULTS))
            name = order.pop()
            self._note(self.faults, fault=name)
            _say(f"{self.faults[-1]['at']:7.1f} s  {name}")
            await FAULTS[name](self._site, self._rng)

    async def _settled(self) -> Report:
        """Drain until everything is there and every run has ended, or patience is over."""
        plant, deadline = self._site.plant, time.monotonic() + PATIENCE_SECONDS
        self._site.start("one")
        while True:
            try:
                await asyncio.to_thread(plant.drain)
            except (OSError, ValueError, KeyError, AssertionError):
                await asyncio.sleep(1.0)
            report = await asyncio.to_thread(plant.report)
            whole = not report.missing.count and not report.pending and plant.all_committed(report)
            if whole or report.twice.count or time.monotonic() > deadline:
                return report
            await asyncio.sleep(1.0)


async def _soak(options: argparse.Namespace, folder: Path) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    site = Site(folder)
    with (options.out / "soak.jsonl").open("w") as log:
        await site.open()
        soak = Soak(site, log, options)
        try:
            report = await soak.run()
        finally:
            await site.close()
    code = report.exit_code(allow_pending=False)
    title = f"{options.minutes:g} minutes, {len(soak.faults)} faults: {report.closing_line()}"
    draw(soak.samples, soak.faults, options.out / "soak.png", title)
    _say(f"{len(soak.faults)} faults; sent {report.sent}; {report.closing_line()}")
    _say(f"picture: {options.out / 'soak.png'}  log: {options.out / 'soak.jsonl'}")
    if code:
        _say(json.dumps({"report": report.plain(), "logs": site.last_words()}, indent=1))
        _say(f"files are kept in {folder}")
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak; give the exit code of verify: 0 if everything is there once and done."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    code = asyncio.run(_soak(options, folder))
    if not code:
        shutil.rmtree(folder)
    return code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default: 3)")
    parser.add_argument("--rate", type=float, default=100.0, help="events a second (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="order of faults (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("soak"), help="folder (default: soak)")
    options = parser.parse_args(arguments)
    if options.minutes < 0.5 or options.rate <= 0:
        parser.error("--minutes is 0.5 or more, --rate above zero")
    return options


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
