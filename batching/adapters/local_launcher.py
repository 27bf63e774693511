"""Runs flows as processes of this machine, at most a few at once, each once under its name.

A run holds two locks for as long as it lives, even when the service is killed: one on a file
of its name, so that no second is started and everybody can see that it runs, and one on a
slot, which bounds how many there are. Both are `flock`s on descriptors that the process
inherits; the kernel lets go of them when it ends, however it ends.
"""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from batching.adapters.flow_environment import flow_environment
from batching.errors import LauncherBusy, LauncherRefused, LauncherUnavailable, SettingError
from batching.ports import RunRequest, RunState

# The shell outlives the flow by one file: how it ended, for a service that was not there.
_KEEP_EXIT_CODE = '"$@"; code=$?; echo "$code" > "$0.new" && mv "$0.new" "$0"; exit "$code"'
_CLEAN_EVERY = 100


class LocalLauncher:
    """Starts each run as `python FLOW_FILE --no-pylint run --run URI`.

    Args:
        data: folder of the service; logs and locks lie in `runs`, Metaflow's own in `metaflow`.
        flows: the file of each flow, by the name of its class.
        processes: runs at once, by all services that share the folder; None: one per core, at
            least two.
        python: the interpreter for flows.
        environment: variables for flows beside the plain ones, see `flow_environment`.
        keep: logs of so many runs are kept.

    """

    def __init__(
        self,
        data: Path,
        flows: Mapping[str, Path],
        *,
        processes: int | None = None,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
        keep: int = 1_000,
    ) -> None:
        self.slots: int | None = max(2, os.cpu_count() or 1) if processes is None else processes
        if self.slots < 1:
            raise SettingError(f"runs.processes: must be 1 or more, got {processes}")
        self._data, self._runs = data.resolve(), data.resolve() / "runs"
        self._flows = {name: path.resolve() for name, path in flows.items()}
        self._python, self._extra, self._keep = python, dict(environment or {}), keep
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0

    def check(self, flow: str) -> None:
        """Make sure that a flow can be started.

        Raises:
            SettingError: no file is known for it, or the file is missing.

        """
        path = self._flows.get(flow)
        if path is None:
            known = ", ".join(sorted(self._flows)) or "none"
            raise SettingError(f"flow {flow} is not known here (known: {known}): set its file")
        if not path.is_file():
            raise SettingError(f"flow {flow}: its file {path} is missing")

    @property
    def problems(self) -> list[str]:
        """Say which flows have lost their files."""
        found = []
        for flow in self._flows:
            try:
                self.check(flow)
            except SettingError as error:
                found.append(str(error))
        return found

    def where(self, name: str, flow: str) -> dict[str, str]:  # noqa: ARG002  # pages need it
        """Give the file that has a run's output."""
        return {"output": str(self.log_path(name))}

    def log_path(self, name: str) -> Path:
        """Name the file that has a run's output."""
        return log_path(self._data, name)

    async def start(self, request: RunRequest) -> bool:
        """Start a run; False if it runs already or has run to its end.

        Raises:
            LauncherBusy: as many as allowed are running; ask again later.
            LauncherRefused: the flow is not known, or its file is missing.
            LauncherUnavailable: the machine refused, such as a full disk.

        """
        try:
            self.check(request.flow)
        except SettingError as error:
            raise LauncherRefused(str(error)) from error
        self._reap()
        try:
            return await asyncio.to_thread(self._start, request)
        except OSError as error:
            raise LauncherUnavailable(f"start of {request.name}: {error}") from error

    def _start(self, request: RunRequest) -> bool:
        self._runs.mkdir(parents=True, exist_ok=True)
        name = _lock(self._lock_path(request.name))
        if name is None:
            return False
        try:
            if self._exit_path(request.name).exists():
                return False
            slot = self._free_slot()
            try:
                self._spawn(request, (name, slot))
            finally:
                os.close(slot)
        finally:
            os.close(name)  # the process has its own
        self._started += 1
        if self._started % _CLEAN_EVERY == 0:
            self._clean()
        return True

    def _free_slot(self) -> int:
        folder = self._runs / ".slots"
        folder.mkdir(exist_ok=True)
        for number in range(self.slots or 0):
            slot = _lock(folder / str(number))
            if slot is not None:
                return slot
        raise LauncherBusy(f"{self.slots} runs are going on, as many as runs.processes allows")

    def _spawn(self, request: RunRequest, locks: tuple[int, int]) -> None:
        shell = ["/bin/sh", "-c", _KEEP_EXIT_CODE, str(self._exit_path(request.name))]
        with self.log_path(request.name).open("ab") as output:
            self._children[request.name] = subprocess.Popen(  # a list, no shell text
                shell + self.command(request),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=flow_environment(os.environ, self._data / "metaflow", self._extra)
                | {"HEADRACE_ATTEMPT": str(request.attempt)},
                pass_fds=locks,
                start_new_session=True,  # Ctrl-C at the terminal is for the service alone
                cwd=self._data,
            )

    def command(self, request: RunRequest) -> list[str]:
        """Spell the flow's command: Metaflow's own, with the record's URI and tags to find it."""
        flow = [self._python, str(self._flows[request.flow]), "--no-pylint"]
        tags = [f"headrace:{request.name}", f"job:{request.job}", f"record:{request.n}"]
        return [*flow, "run", "--run", request.record_uri, *(f"--tag={tag}" for tag in tags)]

    async def state(self, name: str) -> RunState:
        """Tell how a run stands: its lock says whether it lives, its exit file how it ended."""
        self._reap()
        try:
            lock = _lock(self._lock_path(name), create=False, shared=True)
        except FileNotFoundError:
            return RunState.GONE
        except OSError as error:
            raise LauncherUnavailable(f"state of {name}: {error}") from error
        if lock is None:
            return RunState.RUNNING
        os.close(lock)
        return RunState.SUCCEEDED if self._exit_code(name) == 0 else RunState.FAILED

    async def close(self) -> None:
        """Let go; running runs go on, and a service that starts later sees how they end."""
        self._reap()
        for child in self._children.values():
            child.returncode = 0  # so that Popen neither warns nor waits: init will reap it
        self._children.clear()

    def _reap(self) -> None:
        """Take note of children that have ended, so that none stays as a zombie."""
        ended = [name for name, child in self._children.items() if child.poll() is not None]
        for name in ended:
            del self._children[name]

    def _exit_code(self, name: str) -> int | None:
        try:
            return int(self._exit_path(name).read_text())
        except (FileNotFoundError, ValueError):  # killed, together with its shell
            return None

    def _lock_path(self, name: str) -> Path:
        return self._runs / f"{name}.lock"

    def _exit_path(self, name: str) -> Path:
        return self._runs / f"{name}.exit"

    def _clean(self) -> None:
        """Remove what is left of all but the newest runs; those that run stay."""
        locks = sorted(self._runs.glob("*.lock"), key=lambda path: path.stat().st_mtime)
        for path in locks[: max(0, len(locks) - self._keep)]:
            lock = _lock(path)
            if lock is None:
                continue
            for old in (self.log_path(path.stem), self._exit_path(path.stem), path):
                old.unlink(missing_ok=True)
            os.close(lock)


def log_path(data: Path, name: str) -> Path:
    """Name the file that has a run's output, from the service's folder."""
    return data.resolve() / "runs" / f"{name}.log"


def _lock(path: Path, *, create: bool = True, shared: bool = False) -> int | None:
    """Open and lock a file; None if somebody else holds it. The descriptor is the lock."""
    flags = (os.O_RDWR | os.O_CREAT) if create else os.O_RDONLY
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
