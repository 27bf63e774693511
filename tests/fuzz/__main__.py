"""Fuzz the readers of strangers' bytes: python -m tests.fuzz [--minutes 2] [--only event].

Coverage-guided, by atheris (libFuzzer). Each target gets its share of the time in a process of
its own. An input that breaks a promise, takes more than ten seconds or a gigabyte is kept, and
the command that repeats it is printed. Exit code 1 if there is one.
"""

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.targets import TARGETS, seeds

SECONDS_AN_INPUT, MEGABYTES, LONGEST = 10, 1_024, 4_096
KEPT = Path("build/fuzz")
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_COVERED = re.compile(r"cov: (\d+)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz, or repeat one input."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="for all targets together")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), metavar="TARGET")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run one kept input again")
    options = parser.parse_args(arguments)
    if options.minutes <= 0:
        parser.error("--minutes must be above zero")
    chosen = options.only or list(TARGETS)
    if options.repeat:
        for name in chosen:
            TARGETS[name](options.repeat.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris (wheels: Linux, Python 3.11 to 3.13)")
        return 2
    broken = [name for name in chosen if not _fuzz(name, options.minutes * 60 / len(chosen))]
    return 1 if broken else 0


def _fuzz(name: str, seconds: float) -> bool:
    kept = KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        for seed in seeds(name):
            (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        command = [
            *(sys.executable, "-m", "tests.fuzz.inner", name),
            f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={SECONDS_AN_INPUT}",
            f"-rss_limit_mb={MEGABYTES}",
            f"-max_len={LONGEST}",
            f"-artifact_prefix={kept}/",
            str(corpus),
        ]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace"
        )
    return _tell(name, done.stdout + done.stderr, done.returncode, kept)


def _tell(name: str, said: str, code: int, kept: Path) -> bool:
    done, covered = _DONE.search(said), _COVERED.findall(said)
    if code == 0 and done is not None:
        runs, seconds = int(done[1]), int(done[2])
        reached = f", {int(covered[-1]):,} edges reached" if covered else ""
        print(f"{name}: {runs:,} inputs in {seconds} s{reached}, no promise broken", flush=True)
        return True
    print("\n".join(said.splitlines()[-40:]))
    found = sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime)
    where = found[-1] if found else "(no input was kept)"
    print(
        f"{name}: a promise is broken; repeat: python -m tests.fuzz --only {name} --repeat {where}"
    )
    return False


if __name__ == "__main__":
    sys.exit(main())
