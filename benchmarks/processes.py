"""What processes have cost so far, from /proc: processor time and peak memory."""

import os
import subprocess
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_UTIME = 11  # place of user time among the fields behind the process's name; system time follows


def cpu_seconds(pid: int) -> float:
    """Give user and system time of all threads of a process; a tick is 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) / _TICKS_A_SECOND


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
