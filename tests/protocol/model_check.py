"""Check the models exhaustively: python -m tests.protocol.model_check [--case NAME] [--mutants].

Example: `python -m tests.protocol.model_check --case "parking, loss" --without pieces` tells a
schedule that breaks without that guard, call by call.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.protocol.model_cases import CASES, MUTANTS, Case, Mutant

MODELS = Path(__file__).parents[2] / "docs" / "explanation" / "model"
MEGABYTES = 6000  # a search that needs more is cut off, and counts as a failure
CPU_SECONDS = 1800  # the same; on a busy machine the clock says nothing
DEPTH = 2_000_000
TOOLS = "the models need `spin` and `gcc`: apt-get install spin gcc (Debian, Ubuntu)"


@dataclass(frozen=True)
class Outcome:
    """What one search found."""

    states: int
    transitions: int
    depth: int
    megabytes: float
    cpu_seconds: float
    violated: str  # the assertion, or nothing
    cut: str  # why the search is not exhaustive, or nothing

    @property
    def clean(self) -> bool:
        return not self.violated and not self.cut


@dataclass
class Checker:
    """Builds a search once for each model and its flags; guards are removed when it runs."""

    folder: Path
    built: dict[tuple[str, ...], Path] = field(default_factory=dict)

    def run(self, case: Case, removed: Sequence[str] = (), *, told: bool = False) -> Outcome:
        """Search all states of a case, up to the first violation."""
        pan = self._build(case, told=told)
        (pan.parent / f"{case.model}.pml.trail").unlink(missing_ok=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [str(pan), "-E", f"-m{DEPTH}", f"-w{26 if case.optimized else 22}"]
        text = self._call(command, pan.parent, without(case.model, removed))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return outcome(text, cpu)

    def story(self, case: Case, removed: Sequence[str] = ()) -> str:
        """Tell the last violation of a case call by call."""
        pan = self._build(case, told=True)
        trail = f"{case.model}.pml.trail"
        text = self._call([str(pan), "-r", trail], pan.parent, without(case.model, removed))
        own = re.compile(
            r"    \w+=|    redis|owner |dispatcher |[A-Z]{2}|the |this |a |back-up|pan"
        )
        return "\n".join(line for line in text.splitlines() if own.match(line))

    def _build(self, case: Case, *, told: bool) -> Path:
        """Owners are kept sorted to halve the states; a story is told without that."""
        flags = (*case.flags, "UNSORTED") if told else case.flags
        key = (case.model, *flags)
        if key not in self.built:
            folder = self.folder / str(len(self.built))
            folder.mkdir()
            defines = [f"-D{flag}" for flag in flags]
            self._build_step(["spin", "-a", *defines, str(MODELS / f"{case.model}.pml")], folder)
            level = "-O2" if case.optimized else "-O0"
            gcc = ["gcc", level, "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEGABYTES}"]
            self._build_step([*gcc, "-o", "pan", "pan.c"], folder)
            self.built[key] = folder / "pan"
        return self.built[key]

    @staticmethod
    def _build_step(command: list[str], folder: Path) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        wrong = re.search(r"(?i)^.*\berror\b.*$", done.stdout + done.stderr, re.MULTILINE)
        if done.returncode or wrong:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")

    @staticmethod
    def _call(command: list[str], folder: Path, removed: dict[str, str]) -> str:
        def bound() -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            os.nice(5)

        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **removed},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=bound,
        )
        return done.stdout + done.stderr


def guards(model: str) -> dict[str, int]:
    """Read the names of a model's guards from its source."""
    found = re.findall(
        r"^#define g_(\w+) (\d+)", (MODELS / f"{model}.pml").read_text(), re.MULTILINE
    )
    names = ((name.replace("_", " ").replace("create only", "create-only"), n) for name, n in found)
    return {name: int(number) for name, number in names}


def without(model: str, removed: Sequence[str]) -> dict[str, str]:
    """Say to a search which guards are removed, two at most."""
    known = guards(model)
    if unknown := [name for name in removed if name not in known]:
        raise KeyError(f"{model}.pml has no guard {', '.join(unknown)}; it has {', '.join(known)}")
    return {
        name: str(known[guard]) for name, guard in zip(("REMOVED", "ALSO"), removed, strict=False)
    }


def outcome(text: str, cpu_seconds: float) -> Outcome:
    """Read what a search prints at its end."""

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0

    violated = re.search(r"^pan:\d+: (?!.*(?:max search|memory))(.*)$", text, re.MULTILINE)
    cut = re.search(r"max search depth too small|out of memory|reached -DMEMLIM|Interrupt", text)
    finished = re.search(r"errors: (\d+)", text)
    reason = cut[0] if cut else "" if finished else f"stopped: {text[-200:]}"
    return Outcome(
        int(number(r"([\d.e+]+) states, stored")),
        int(number(r"([\d.e+]+) transitions")),
        int(number(r"depth reached (\d+)")),
        number(r"([\d.]+)\s+total actual memory usage"),
        cpu_seconds,
        violated[1] if violated else "",
        "" if violated else reason,
    )


def tools_are_missing() -> str:
    """Say what to install, or nothing."""
    missing = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    return f"{TOOLS}; missing: {', '.join(missing)}" if missing else ""


# --- the tables


def print_cases(checker: Checker, cases: Iterable[Case]) -> bool:
    """Print one row per case; tell whether all are exhaustive and clean."""
    clean = True
    _row("case", "states", "transitions", "depth", "MB", "CPU s", "found")
    for case in cases:
        found = checker.run(case)
        clean = clean and found.clean
        verdict = found.violated or found.cut or "nothing, complete"
        numbers = (f"{found.states:,}", f"{found.transitions:,}", f"{found.depth:,}")
        _row(case.name, *numbers, f"{found.megabytes:.0f}", f"{found.cpu_seconds:.0f}", verdict)
    return clean


def print_mutants(checker: Checker, mutants: Iterable[Mutant], cases: dict[str, Case]) -> bool:
    """Print one row per guard; tell whether each is missed when it is removed."""
    missed = True
    _row("removed", "case", "states", "found")
    for mutant in mutants:
        found = checker.run(cases[mutant.case], mutant.guards)
        missed = missed and bool(found.violated)
        verdict = f"depth {found.depth}" if found.violated else found.cut or "NOTHING"
        _row(", ".join(mutant.guards), mutant.case, f"{found.states:,}", verdict)
    return missed


def _row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.protocol.model_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = {case.name: case for case in CASES}
    parser.add_argument("--case", action="append", metavar="NAME", help="only this; repeatable")
    parser.add_argument("--small", action="store_true", help="only those that CI checks")
    parser.add_argument("--mutants", action="store_true", help="remove each guard in turn")
    parser.add_argument(
        "--without", action="append", default=[], metavar="GUARD", help="two at most"
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.case or () if name not in names]:
        parser.error(f"no case {unknown[0]!r}; there are: {'; '.join(names)}")
    if missing := tools_are_missing():
        parser.error(missing)
    chosen = [names[name] for name in options.case or names]
    chosen = [case for case in chosen if case.small or not options.small]
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(Path(folder))
        if options.mutants:
            mutants = [x for x in MUTANTS if names[x.case] in chosen]
            return 0 if print_mutants(checker, mutants, names) else 1
        if options.without:
            return tell(checker, chosen, options.without)
        return 0 if print_cases(checker, chosen) else 1


def tell(checker: Checker, cases: Iterable[Case], removed: Sequence[str]) -> int:
    """Tell the first schedule that breaks without these guards."""
    for case in cases:
        if set(removed) <= set(guards(case.model)):
            found = checker.run(case, removed, told=True)
            verdict = found.violated or found.cut or "nothing, complete"
            sys.stdout.write(f"{case.name}, without {', '.join(removed)}: {verdict}\n")
            if found.violated:
                sys.stdout.write(checker.story(case, removed) + "\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
