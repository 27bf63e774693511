"""Files that outlive a power cut: written in full, synced, guarded by locks that die with us."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_SECONDS = 10.0  # a writer holds a lock for one fsync; longer means it is stopped


def write_all(descriptor: int, body: bytes | memoryview) -> None:
    """Write every byte: one call to `os.write` may take fewer."""
    left = memoryview(body).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; the lock ends with the process that holds it, the file stays.

    Raises:
        OSError: somebody else held it for ten seconds, or the file cannot be made.

    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor):
            if time.monotonic() > until:
                raise OSError(errno.ETIMEDOUT, f"another process holds its lock {path.name}")
            time.sleep(0.002)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
