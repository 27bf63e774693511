"""A flow's door to the store: read, list and create objects below one root, synchronously.

The root is a folder (`file:///...`) or a container and prefix in Azure Blob Storage, for
which see `flows.azure_store`.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from batching.adapters.durable_files import sync_folder, write_all
from batching.adapters.object_names import HIDDEN, check_name
from batching.errors import SettingError, StoreUnavailable

TEMPORARY = f"{HIDDEN}tmp-"  # the service's own folder adapter sweeps these away


class Store(Protocol):
    """Objects by name under one root; every call raises StoreUnavailable when it fails."""

    @property
    def uri(self) -> str:
        """The root, without a slash at its end."""
        ...

    def get(self, name: str) -> "Any | None":
        """Read an object whole, as a pyarrow Buffer; None if there is none."""
        ...

    def create(self, name: str, body: "bytes | memoryview") -> bool:
        """Write an object that must not exist yet; False if it exists, which stays as it is."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """List names that begin with `prefix`, in order."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """List what the next part of names below `prefix` may be; `prefix` ends in a slash."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        ...


def open_store(uri: str) -> Store:
    """Open the store at a root such as `file:///data` or `https://account.../container/prefix`.

    Raises:
        SettingError: it is no such root, or the azure packages are missing.

    """
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme in ("http", "https") and parts.netloc:
        return _azure(uri.rstrip("/"))
    raise SettingError(
        f"store {uri!r} is neither file:///folder nor https://account/container[/prefix]"
    )


def _azure(uri: str) -> Store:
    try:
        from flows.azure_store import AzureStore  # noqa: PLC0415  # a folder needs no azure package
    except ImportError as error:
        raise SettingError(
            "the store is in Azure: pip install azure-storage-blob azure-identity"
        ) from error
    return AzureStore(uri)


@contextmanager
def _answering(what: str) -> "Iterator[None]":
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"{what}: {error.strerror or error}") from error


class FolderStore:
    """A folder; an object appears whole or not at all, and is on the disk when we say so."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def uri(self) -> str:
        """The root as `file:///...`."""
        return self.root.absolute().as_uri()

    def get(self, name: str) -> "Any | None":
        """Map an object into memory, so that only what is looked at is read."""
        path = self._path(name)
        with _answering(f"reading {name}"):
            try:
                empty = path.stat().st_size == 0
                return pa.py_buffer(b"") if empty else pa.memory_map(str(path)).read_buffer()
            except FileNotFoundError:
                return None

    def create(self, name: str, body: "bytes | memoryview") -> bool:
        """Write to a temporary file, then link it to its name, which fails where one is."""
        path = self._path(name)
        temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
        with _answering(f"creating {name}"):
            self._make_folder(path.parent)
            try:
                _write(temporary, body)
                os.link(temporary, path)
                created = True
            except FileExistsError:
                created = False
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(path.parent)  # of a winner too: who is told "exists" will build on it
        return created

    def names(self, prefix: str) -> Iterator[str]:
        """Walk the folders that the prefix leads to."""
        top = self.root / prefix.rpartition("/")[0]
        files = (path for path in top.rglob("*") if path.is_file())
        seen = (path for path in files if not path.name.startswith(HIDDEN))
        names = (path.relative_to(self.root).as_posix() for path in seen)
        yield from sorted(name for name in names if name.startswith(prefix))

    def folders(self, prefix: str) -> Iterator[str]:
        """List the folders right below one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from sorted(path.name for path in (self.root / prefix).iterdir() if path.is_dir())

    def delete(self, name: str) -> None:
        """Unlink a file, and its folder when it was the last one there."""
        path = self._path(name)
        with _answering(f"deleting {name}"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def _make_folder(self, folder: Path) -> None:
        """Make a folder durably; a root that is gone is not made again: it was another store."""
        if folder != self.root and not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)


def _write(path: Path, body: "bytes | memoryview") -> None:
    with path.open("xb", buffering=0) as file:
        write_all(file.fileno(), body)
        os.fsync(file.fileno())
