"""Files that outlive a power cut: written in full, synced, and so are the names of them."""

import os
from pathlib import Path


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
