"""What tests ask about processes: whether one is alive, which modules a program loads."""

import os
import subprocess
import sys


def alive(pid: int) -> bool:
    """Tell whether the kernel still knows a process; it may have ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def modules(program: str, *arguments: str) -> set[str]:
    """Give the modules that a program prints."""
    command = [sys.executable, "-c", program, *arguments]
    return {*subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()}
