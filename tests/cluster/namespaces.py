"""Network, mount and pid namespaces of one life of the cluster, and the programs in them.

Nothing of the machine changes: no port, route, mount or kernel setting. Outside there are only
the files of a life and a cgroup.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.cluster.needs import NAMESPACES
from tests.cluster.place import HERE, INSIDE, NODE_ADDRESS, ClusterError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
END_SECONDS = 90.0  # the API server first lets requests end, for up to a minute
CLONE_NEWNET = 0x40000000
HIERARCHIES = Path("/sys/fs/cgroup")
# A program tells its number, as it is inside: there, no other process can have it by chance.
TELL_PID = f'echo $$ >{INSIDE}/pids/"$0"; exec "$@"'
_libc = ctypes.CDLL(None, use_errno=True)


class Namespaces:
    """One life's namespaces; they end with their first process, `init.sh`."""

    def __init__(self, run: Path, logs: Path, cgroup: str) -> None:
        self.run, self.logs, self.cgroup = run, logs, cgroup

    @property
    def alive(self) -> bool:
        return self._first() is not None

    def _first(self) -> int | None:
        """Number of the first process; its start tells it from a later process of that number."""
        try:
            pid, started = (self.run / "init").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _started(int(pid)) == started else None

    @property
    def first(self) -> int:
        """Number of the first process.

        Raises:
            ClusterError: the cluster is down.
        """
        pid = self._first()
        if pid is None:
            raise ClusterError("the cluster is down: python -m tests.cluster up")
        return pid

    def open(self) -> None:
        """Start the first process and wait until network and files are laid out."""
        (self.run / "pids").mkdir()
        words: list[str | Path] = [*NAMESPACES, HERE / "init.sh", self.run, self.logs, NODE_ADDRESS]
        outer = self._spawn("init", words, {})
        wait_for(10, "the first process", lambda: _child(outer) is not None)
        pid = _child(outer)
        (self.run / "init").write_text(f"{pid} {_started(pid or 0)}")
        try:
            wait_for(20, "network and mounts", (self.run / "prepared").exists)
        except ClusterError as error:
            raise ClusterError(f"{error}: {(self.logs / 'init.log').read_text()}") from error
        self._make_cgroup()

    def close(self) -> None:
        """End every process in there and remove the life's files; logs stay."""
        pid = self._first()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_for(30, "the end of all processes", lambda: not self.alive)
        self._remove_cgroup()
        shutil.rmtree(self.run, ignore_errors=True)

    @contextmanager
    def network(self) -> Iterator[None]:
        """Put this thread, and what it starts meanwhile, into the cluster's network."""
        with (
            Path("/proc/thread-self/ns/net").open() as own,
            Path(f"/proc/{self.first}/ns/net").open() as theirs,
        ):
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())

    def start(self, name: str, words: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start a program in all of the namespaces; its output goes to `logs/NAME.log`."""
        if self.runs(name):
            raise ClusterError(f"{name} runs already")
        (self.run / "pids" / name).unlink(missing_ok=True)
        enter = ["nsenter", "--target", str(self.first), "--net", "--mount", "--pid", "--"]
        self._spawn(name, [*enter, "/bin/sh", "-c", TELL_PID, name, *words], environment)
        wait_for(10, name, lambda: self._number(name) != "")

    def stop(self, name: str, how: signal.Signals) -> None:
        """Signal a program and wait until it is gone."""
        if not self.runs(name):
            raise ClusterError(f"{name} does not run; running: {', '.join(self.running())}")
        self._kill(name, f"-{how.value}")
        wait_for(END_SECONDS, f"the end of {name}", lambda: not self.runs(name))

    def runs(self, name: str) -> bool:
        """Tell whether a program that was started still runs."""
        return self._number(name) != "" and self._kill(name, "-0")

    def running(self) -> list[str]:
        """Name the programs that run."""
        return sorted(path.name for path in (self.run / "pids").iterdir() if self.runs(path.name))

    def call(self, *words: str | Path) -> str:
        """Run a command in the cluster's network and mounts; give its output."""
        enter = ["nsenter", "--target", str(self.first), "--net", "--mount", "--"]
        return run([*enter, *map(str, words)], environment={"PATH": PATH})

    def _number(self, name: str) -> str:
        try:
            return (self.run / "pids" / name).read_text().strip()
        except FileNotFoundError:
            return ""

    def _kill(self, name: str, how: str) -> bool:
        enter = ["nsenter", "--target", str(self.first), "--pid", "--"]
        words = [*enter, "/bin/kill", how, self._number(name)]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    def _spawn(self, name: str, words: Sequence[str | Path], environment: Mapping[str, str]) -> int:
        """Start a process that outlives this one; proxies and the like of ours are not for it."""
        log = self.logs / f"{name}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawnp(
            str(words[0]),
            [str(word) for word in words],
            {"PATH": PATH, "HOME": str(INSIDE), **environment},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    def _make_cgroup(self) -> None:
        for hierarchy in _hierarchies():
            (hierarchy / self.cgroup).mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # version 1: a new one allows nothing
                ours = hierarchy / self.cgroup / name
                if ours.exists() and not (HIERARCHIES / "cgroup.controllers").exists():
                    ours.write_text((hierarchy / name).read_text())

    def _remove_cgroup(self) -> None:
        for hierarchy in _hierarchies():
            top = hierarchy / self.cgroup
            inside = sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True)
            for folder in [*inside, top]:
                wait_for(10, f"the end of {folder}", partial(_removed, folder))


def run(words: Sequence[str], *, environment: Mapping[str, str], given: str | None = None) -> str:
    """Run a command and give its output.

    Raises:
        ClusterError: it failed; with what it said.
    """
    done = subprocess.run(
        words, env=environment, input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ClusterError(f"{' '.join(words)} gave {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_for(seconds: float, what: str, true: Callable[[], bool]) -> None:
    """Wait until something is true.

    Raises:
        ClusterError: it was not, in time.
    """
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise ClusterError(f"{what}: not in {seconds:.0f} s")
        time.sleep(0.05)


def _enter(network: int) -> None:
    if _libc.setns(network, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; the name before it may hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _child(pid: int) -> int | None:
    found = subprocess.run(
        ["pgrep", "--parent", str(pid)], check=False, capture_output=True, text=True
    )
    return int(found.stdout.split()[0]) if found.stdout else None


def _hierarchies() -> list[Path]:
    """Where cgroups are made: one folder in version 2, one for each controller in version 1."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [
        Path(words[1])
        for words in mounts
        if words[2] in ("cgroup", "cgroup2") and Path(words[1]).is_relative_to(HIERARCHIES)
    ]


def _removed(folder: Path) -> bool:
    """Remove a cgroup, which is busy for a moment after its last process ended."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
