"""What tests ask about processes that are not their children, or no longer."""

import os


def alive(pid: int) -> bool:
    """Tell whether the kernel still knows a process; it may have ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
