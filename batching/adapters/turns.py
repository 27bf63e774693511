"""Compare and rename, one process at a time, whichever of them is stopped in the middle.

Each takes its turn under a lock (`flock`), which ends with the process that holds it. A process
that is *stopped* (Ctrl-Z, a frozen container, a debugger) keeps it, however short the turn is.
So a lock has successors: whoever waited a second in vain makes the next lock file, and from then
on only the newest lock counts. A turn's file is renamed from a name that belongs to its lock, and
who holds a later lock first removes the names of all earlier ones: a process that wakes up in the
middle of an old turn finds its file gone, or the next lock there, and begins again.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TURN_SECONDS = 1.0  # a turn is two renames and a look; who has it for longer is stopped
GIVE_UP_SECONDS = 10.0


class Turns:
    """Replaces one file; see above.

    Args:
        path: the file.
        lock: the first lock; its successors are `<lock>-1`, `<lock>-2`, ...
        staged: what a turn renames from, `<staged>-<number of the lock>`.

    """

    def __init__(self, path: Path, *, lock: Path, staged: Path) -> None:
        self._path, self._lock, self._staged = path, lock, staged

    def replace(self, new: Path, unchanged: Callable[[], bool]) -> bool:
        """Put `new` in the place of the file if it is `unchanged`; `new` itself stays.

        Raises:
            OSError: others had their turns for ten seconds, or the folder cannot be used.

        """
        until = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < until:
            with self._turn() as number:
                if number is not None and (done := self._try(number, new, unchanged)) is not None:
                    return done
        raise OSError(errno.ETIMEDOUT, f"other processes hold its lock {self._lock.name}")

    def _try(self, number: int, new: Path, unchanged: Callable[[], bool]) -> bool | None:
        """Compare and rename under lock `number`; None if it counts no more."""
        staged = self._staged_under(number)
        staged.unlink(missing_ok=True)  # of one that was killed
        os.link(new, staged)
        try:
            if self._newest() != number:  # after the link: from here on, losing the lock shows
                return None
            if not unchanged():
                return False
            staged.replace(self._path)
        except FileNotFoundError:
            return None
        finally:
            staged.unlink(missing_ok=True)
        return True

    @contextmanager
    def _turn(self) -> Iterator[int | None]:
        """Hold the newest lock and say its number; None if a second was not enough to get it."""
        number = self._newest()
        descriptor = os.open(self._lock_of(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if _try_lock(descriptor, TURN_SECONDS):
                for earlier in range(number):
                    self._staged_under(earlier).unlink(missing_ok=True)
                yield number
            else:
                self._lock_of(number + 1).touch()
                yield None
        finally:
            os.close(descriptor)

    def _newest(self) -> int:
        number = 0
        while self._lock_of(number + 1).exists():
            number += 1
        return number

    def _lock_of(self, number: int) -> Path:
        return self._lock.with_name(f"{self._lock.name}-{number}") if number else self._lock

    def _staged_under(self, number: int) -> Path:
        return self._staged.with_name(f"{self._staged.name}-{number}")


def _try_lock(descriptor: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.002)
        else:
            return True
