"""Python itself, set for a process that keeps many small things and commits beside its loop."""

import ctypes
import gc
import sys
from contextlib import suppress

YOUNG, MIDDLE, OLD = 20_000, 50, 100  # new objects, then collections, before one looks further
SWITCH_SECONDS = 0.0005
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's mallopt
LARGE_BYTES, SPARE_BYTES = 2**20, 2**21


def settle() -> None:
    """Set the collector of cycles, how threads take turns, and who gives memory.

    Call it once, when modules and settings are loaded and there are no threads yet.

    Each open batch is a few objects that live for minutes and are in no cycle; with Python's
    defaults a fifth of the time of an append goes into looking at them again and again. So what
    is there when modules and settings are loaded is left alone for ever, and what is new is
    looked at less often.

    A commit is laid out in a thread. While it runs, the event loop waits for the interpreter's
    lock after each of its many system calls: 5 ms by default, a tenth of that here, so that
    neither appends nor commits of other partitions wait for one.
    """
    leave_alone()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    sys.setswitchinterval(SWITCH_SECONDS)
    share_memory()


def leave_alone() -> None:
    """Leave what is there alone for ever; once more where modules were loaded later."""
    gc.collect(1)  # modules leave no cycles to speak of, and a look at all of them takes 50 ms
    gc.freeze()


def share_memory() -> None:
    """Let all threads take memory from one heap, and give back large pieces at once.

    Commits are laid out by some threads in turn. With a heap for each, what one has given back
    is there for no other. And a buffer of megabytes between small things keeps its place when it
    is gone: glibc would take larger and larger ones from the heap. One thread runs Python at a
    time, so there is little to be gained by having more heaps. Who starts something that takes a
    thread before `settle` calls this before.

    Each page that comes from outside is one that the kernel clears first. So what an append
    needs, some hundred kilobytes, is taken from the heap again and again, and the heap keeps two
    megabytes at its end; what a manifest needs comes from outside and goes back.
    """
    with suppress(AttributeError, OSError):  # not the GNU C library
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, SPARE_BYTES)
