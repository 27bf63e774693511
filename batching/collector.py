"""Python's collector of cycles, set for a process that keeps many small things for long."""

import gc

YOUNG, MIDDLE, OLD = 10_000, 50, 100  # new objects, then collections, before one looks further


def settle() -> None:
    """Leave what is there alone for ever, and look at what is new less often.

    Each open batch is a few objects that live for minutes and are in no cycle; with Python's
    defaults a fifth of the time of an append goes into looking at them again and again. Call it
    once, when modules and settings are loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
