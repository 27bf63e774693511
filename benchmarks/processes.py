"""What processes have cost so far, from /proc: processor time and peak memory."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PATH = 4  # place of a mapping's file, behind its addresses
_SIGNS = {"Rss:": 1, "Anonymous:": -1}  # pages that were changed are no longer the file's
_UTIME = 11  # place of user time among the fields behind the process's name; system time follows


def cpu_seconds(pid: int, *, ended: bool = False) -> float:
    """Give user and system time of all threads of a process; a tick is 10 ms.

    With `ended`, that of children that have ended too, as a server's that rewrote its file.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_UTIME : _UTIME + (4 if ended else 2)])) / _TICKS_A_SECOND


def ran_seconds(pid: int) -> float:
    """Give the time that all threads of a process have run, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def tree(pid: int) -> list[int]:
    """Give a process and all that descend from it."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def working_in(folder: Path) -> list[int]:
    """Give the processes that work in a folder or below it: a server has left its parent."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


def pss_bytes(pids: list[int]) -> int:
    """Give the memory of processes, what they share counted once, as if they were alone.

    The kernel divides a page of a library among all who have it, strangers too, and who measures
    has loaded some of the same. So pages of files are counted in full: of each file as many as
    that process has which has most.
    """
    return _file_bytes(pids) + sum(map(_anonymous_bytes, pids))


def _anonymous_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
    return 0


def _file_bytes(pids: list[int]) -> int:
    most: dict[str, int] = {}
    for pid in pids:
        mapped: dict[str, int] = {}
        with suppress(OSError):
            file = ""
            for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
                what, *rest = line.split(maxsplit=5)
                if not what.endswith(":"):  # a mapping: addresses, rights, ..., its file
                    file = rest[_PATH] if len(rest) > _PATH and rest[_PATH][0] == "/" else ""
                elif what in _SIGNS and file:
                    mapped[file] = mapped.get(file, 0) + _SIGNS[what] * int(rest[0]) * 1024
        for file, size in mapped.items():
            most[file] = max(size, most.get(file, 0))
    return sum(most.values())


def peak_bytes(pid: int) -> int:
    """Give the most memory that a process has had at once."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} has no memory: it has ended")


def end(process: "subprocess.Popen[bytes]", seconds: float = 40.0) -> None:
    """Ask a process to end, and make it."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
