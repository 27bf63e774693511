"""`headrace run` as a process: forked from one that has everything imported, or a new interpreter.

A fork spares the two seconds in which Python and the SDK are loaded, which is most of what a
restart costs. The SDK also loads all the world's certificates for each link, though the embedded
hub has no TLS here: a fork is shown a single one, which spares half of the rest. From `main` on
both are the same. Each tenth case does without these savings: it runs this module.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import certifi

from tests.crash.mutants import MUTANTS

_SERVERS = multiprocessing.get_context("forkserver")
_PRELOADED = ["tests.crash.preloaded"]


class Service(Protocol):
    """A running `headrace run`."""

    @property
    def pid(self) -> int: ...

    def ended(self) -> int | None:
        """Give its exit code (negative: the signal), or None while it runs."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""


@dataclass(frozen=True)
class Forked:
    """What a fork has that a new interpreter has not."""

    certificate: Path  # the only one that the SDK is shown
    mutant: str = ""  # a guard that is taken away


def start(
    config: Path, environment: Mapping[str, str], log: Path, forked: Forked | None
) -> Service:
    """Start a service that writes its log to a file; by a new interpreter unless it is forked."""
    whole = {**os.environ, **environment}
    return _Executed(config, whole, log) if forked is None else _Forked(config, whole, log, forked)


class _Forked:
    def __init__(
        self, config: Path, environment: Mapping[str, str], log: Path, forked: Forked
    ) -> None:
        _SERVERS.set_forkserver_preload(_PRELOADED)
        self._process = _SERVERS.Process(
            target=_main, args=(config, dict(environment), log, forked)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def ended(self) -> int | None:
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)


class _Executed:
    def __init__(self, config: Path, environment: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", __name__, "run", "--config", str(config)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=dict(environment)
            )
        self.pid = self._process.pid

    def ended(self) -> int | None:
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)


def _main(config: Path, environment: Mapping[str, str], log: Path, forked: Forked) -> None:
    """Be `headrace run`, in a process that was forked for it."""
    from ingest.cli import main  # noqa: PLC0415 it was imported before the fork

    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    certifi.where = lambda: str(forked.certificate)
    if forked.mutant:
        MUTANTS[forked.mutant]()
    signal.signal(signal.SIGUSR1, _tell_tasks)
    sys.argv = ["headrace", "run", "--config", str(config)]
    main()


def _tell_tasks(*_: object) -> None:
    """Say where every task stands, for a case in which the process neither works nor ends."""
    for task in asyncio.all_tasks(asyncio.get_running_loop()):
        sys.stderr.write(f"{task!r}\n")
        step: Any = task.get_coro()
        while (frame := getattr(step, "cr_frame", None)) is not None:
            sys.stderr.write(f"    {frame.f_code.co_filename}:{frame.f_lineno}\n")
            step = step.cr_await


if __name__ == "__main__":
    from ingest.cli import main

    signal.signal(signal.SIGUSR1, _tell_tasks)
    main()
