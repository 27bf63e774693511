"""Python itself, set for a process that keeps many small things and commits beside its loop."""

import gc
import sys

YOUNG, MIDDLE, OLD = 10_000, 50, 100  # new objects, then collections, before one looks further
SWITCH_SECONDS = 0.0005


def settle() -> None:
    """Set the collector of cycles and how often threads take turns; call it once.

    Each open batch is a few objects that live for minutes and are in no cycle; with Python's
    defaults a fifth of the time of an append goes into looking at them again and again. So what
    is there when modules and settings are loaded is left alone for ever, and what is new is
    looked at less often.

    A commit is laid out in a thread. While it runs, the event loop waits for the interpreter's
    lock after each of its many system calls: 5 ms by default, a tenth of that here, so that
    neither appends nor commits of other partitions wait for one.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    sys.setswitchinterval(SWITCH_SECONDS)
