"""A BlobStore in a folder: the embedded default, as honest about durability as Azure is.

Create-only is a temporary file in the same folder, fsync, `os.link` to the name, fsync of the
folder; replace-if-unchanged is a rename in a turn (`turns.py`). A process killed at any point
leaves a temporary file at worst, which no listing shows and which a later start removes; one
stopped at any point keeps nobody from going on.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from batching.adapters.durable_files import sync_folder, write_all
from batching.adapters.object_names import HIDDEN, check_name, check_prefix
from batching.adapters.turns import Turns
from batching.errors import SettingError, StoreUnavailable

TEMPORARY, LOCK = f"{HIDDEN}tmp-", f"{HIDDEN}lock-"
GONE = "the store's folder is gone"
LEFTOVER_SECONDS = 3600.0
THREADS = 8
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
P = ParamSpec("P")
T = TypeVar("T")


class FolderStore:
    """Objects as files under one folder; see `batching.ports.BlobStore`.

    Deleting is not ordered with replacing: an object that is replaced is not deleted meanwhile.

    Args:
        root: the folder; made if it is missing.
        read_only: for commands that only look: nothing is made, probed or swept.

    Raises:
        SettingError: the folder cannot be used; the message says why.

    """

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self._root = root.expanduser().resolve()
        self._durable: set[Path] = set()  # folders whose own entries were synced by us
        self._closed = False
        _check_root(self._root, read_only=read_only)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="folder-store")
        if not read_only:
            self._threads.submit(self._sweep)

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self._root

    @property
    def uri(self) -> str:
        """`file:///...`; characters that a URI cannot hold are percent-encoded."""
        return self._root.as_uri()

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        return await self._run("get", name, self._read, self._path(name))

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object (shorter at its end); None if there is none."""
        return await self._run("get_range", name, self._read, self._path(name), offset, length)

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet, from parts; False if it exists."""
        facts = await self._run("create", name, self._create, self._path(name), parts)
        return facts is not None

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        return await self._run("get", name, self._read_versioned, self._path(name))

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read (None: there was none); None if somebody else did."""
        return await self._run("replace", name, self._replace, self._path(name), body, version)

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names that begin with `prefix` and sort after `after`, in order, unbounded."""
        folder, _, rest = check_prefix(prefix).rpartition("/")
        waiting = [(f"{folder}/" if folder else "", rest)]
        while waiting:
            folder, rest = waiting.pop()
            if not folder.endswith("/") and folder:
                yield folder
                continue
            entries = await self._run("list", folder, self._entries, folder, rest, after)
            waiting += [(entry, "") for entry in reversed(entries)]

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        await self._run("delete", name, self._delete, self._path(name))

    async def close(self) -> None:
        """Wait for what was begun, then let go of the threads."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _path(self, name: str) -> Path:
        return self._root / check_name(name)

    async def _run(
        self, what: str, name: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        future = self._threads.submit(work, *args, **kwargs)
        try:
            return await asyncio.wrap_future(future)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) and not self._root.is_dir()
            reason = GONE if gone else error.strerror or type(error).__name__
            raise StoreUnavailable(f"{what} {name or '/'} in {self._root}: {reason}") from error

    def _read(self, path: Path, offset: int = 0, length: int | None = None) -> bytes | None:
        try:
            with path.open("rb", buffering=0) as file:
                if length is None:
                    return file.readall()
                return os.pread(file.fileno(), max(length, 0), offset)
        except _ABSENT:
            self._check_alive()
            return None

    def _read_versioned(self, path: Path) -> tuple[bytes, str] | None:
        """Read through one descriptor, so that bytes and version are of the same file."""
        try:
            with path.open("rb", buffering=0) as file:
                body, facts = file.readall(), os.fstat(file.fileno())
        except _ABSENT:
            self._check_alive()
            return None
        return body, _version(body, facts)

    def _check_alive(self) -> None:
        """Tell "no such object" from "no store any more", which is no answer."""
        if not self._root.is_dir():
            raise OSError(errno.ENOENT, GONE)

    def _create(self, path: Path, parts: Sequence[bytes | memoryview]) -> os.stat_result | None:
        with self._temporary(path, parts) as temporary:
            facts: os.stat_result | None = temporary.stat()
            try:
                os.link(temporary, path)
            except FileExistsError:
                facts = None
        sync_folder(path.parent)  # of a winner too: who is told "exists" will build on it
        return facts

    def _replace(self, path: Path, body: bytes, version: str | None) -> str | None:
        if version is None:
            facts = self._create(path, [body])
            return _version(body, facts) if facts else None

        def unchanged() -> bool:
            found = self._read_versioned(path)
            return found is not None and found[1] == version

        if not unchanged():  # nor is its folder there, perhaps
            return None
        with self._temporary(path, [body]) as temporary:
            facts = temporary.stat()
            if not self._turns(path).replace(temporary, unchanged):
                return None
        sync_folder(path.parent)
        return _version(body, facts)

    def _turns(self, path: Path) -> Turns:
        short = hashlib.sha256(path.name.encode()).hexdigest()[:16]
        lock, staged = path.parent / f"{LOCK}{short}", path.parent / f"{TEMPORARY}{short}"
        return Turns(path, lock=lock, staged=staged)

    def _delete(self, path: Path) -> None:
        with contextlib.suppress(*_ABSENT):
            path.unlink()
            sync_folder(path.parent)

    @contextlib.contextmanager
    def _temporary(self, path: Path, parts: Sequence[bytes | memoryview]) -> Iterator[Path]:
        """Write a synced file beside `path`, and remove it if it is still there at the end."""
        self._make_folder(path.parent)
        temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb", buffering=0) as file:
                for part in parts:
                    write_all(file.fileno(), part)
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and sync those above it, once: another process may have made them.

        A root that is gone is not made again: an empty store in its place would be another one.
        """
        if folder == self._root or (folder in self._durable and folder.is_dir()):
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        self._durable.add(folder)

    def _entries(self, folder: str, beginning: str, after: str) -> list[str]:
        """Names in one folder, sorted as whole names are; subfolders end with a slash."""
        try:
            with os.scandir(self._root / folder) as entries:
                names = [
                    f"{folder}{entry.name}{'/' if entry.is_dir() else ''}"
                    for entry in entries
                    if entry.name.startswith(beginning) and not entry.name.startswith(HIDDEN)
                ]
        except _ABSENT:
            self._check_alive()
            return []
        return sorted(name for name in names if name > after or _leads_to(name, after))

    def _sweep(self) -> None:
        """Remove temporary files that writers left behind when they were killed."""
        oldest = time.time() - LEFTOVER_SECONDS
        for folder, _, files in os.walk(self._root):
            if self._closed:
                return
            for file in files:
                path = Path(folder, file)
                with contextlib.suppress(OSError):  # another start sweeps too
                    if file.startswith(TEMPORARY) and path.stat().st_mtime < oldest:
                        path.unlink()


def _leads_to(name: str, after: str) -> bool:
    """Say whether a folder may hold names on both sides of `after`; others are skipped whole."""
    return name.endswith("/") and after.startswith(name)


def _version(body: bytes, facts: os.stat_result) -> str:
    """Tell contents apart, and the same content written twice."""
    return f"{hashlib.sha256(body).hexdigest()[:32]}-{facts.st_ino}-{facts.st_mtime_ns}"


def _check_root(root: Path, *, read_only: bool) -> None:
    try:
        if read_only:
            os.scandir(root).close()
        else:
            _probe(root)
    except OSError as error:
        raise SettingError(f"blobs.folder: {root} cannot be used: {_advice(error)}") from error


def _probe(root: Path) -> None:
    """Make the folder and try what every write needs: a file of ours and a link to it."""
    root.mkdir(parents=True, exist_ok=True)
    sync_folder(root.parent)
    token = secrets.token_hex(8)
    file, link = root / f"{TEMPORARY}{token}", root / f"{TEMPORARY}{token}-link"
    try:
        file.touch(exist_ok=False)
        os.link(file, link)
    finally:
        link.unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def _advice(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    if error.filename2 is not None and error.errno in _NO_LINKS:
        return f"{reason}; its file system has no hard links, which create-only writes need"
    if isinstance(error, PermissionError):
        return f"{reason}; let this user write there, or set another folder"
    if isinstance(error, FileNotFoundError):
        return f"{reason}; there is no store yet, or the path is wrong"
    return reason
