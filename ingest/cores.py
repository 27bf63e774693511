"""How many cores this process may use."""

import math
import os
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, in control groups of version 2
_QUOTA_1, _PERIOD_1 = (
    Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period")
)


def cores() -> float:
    """Give how many cores this process may use: of the machine, and of its container."""
    return min(len(os.sched_getaffinity(0)), _quota())


def _quota() -> float:
    with suppress(OSError, ValueError):  # of version 1, or the word max: no quota
        quota, period = _QUOTA.read_text().split()
        return float(quota) / float(period)
    with suppress(OSError, ValueError):
        quota_1 = int(_QUOTA_1.read_text())
        return quota_1 / int(_PERIOD_1.read_text()) if quota_1 > 0 else math.inf
    return math.inf
