"""A flow's door to the store: read, list and create objects below one root, synchronously.

The root is a folder (`file:///...`) or a container and prefix in Azure Blob Storage. The
azure packages are imported when such a root is opened, so a folder needs none of them.
"""

import os
import re
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

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT_KEY = "AZURE_STORAGE_KEY"
TEMPORARY = f"{HIDDEN}tmp-"  # the service's own folder adapter sweeps these away
API_VERSION = "2024-11-04"  # every cloud and Azurite have it; the SDK's newest is not everywhere
_PATH_STYLE = re.compile(r"(localhost|azurite|[0-9.]+|\[.*\])(:\d+)?")  # the account is in the path


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
        return AzureStore(uri.rstrip("/"))
    raise SettingError(
        f"store {uri!r} is neither file:///folder nor https://account/container[/prefix]"
    )


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


class AzureStore:
    """A container in Azure Blob Storage, or a prefix in one.

    Signs in with AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_KEY where one is set, else
    with what `azure.identity.DefaultAzureCredential` finds: workload identity, `az login`.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        account, container, self._prefix = split_azure(uri)
        self._client = _container_client(account, container)

    @property
    def uri(self) -> str:
        """The root as `https://account/container[/prefix]`."""
        return self._uri

    def get(self, name: str) -> "Any | None":
        """Download an object."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        with _azure(f"reading {name}"):
            try:
                return pa.py_buffer(self._client.download_blob(self._prefix + name).readall())
            except ResourceNotFoundError:
                return None

    def create(self, name: str, body: "bytes | memoryview") -> bool:
        """Upload with `If-None-Match: *`."""
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415

        with _azure(f"creating {name}"):
            try:
                self._client.upload_blob(self._prefix + name, bytes(body), overwrite=False)
            except ResourceExistsError:
                return False
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """List page by page."""
        with _azure(f"listing {prefix}"):
            for name in self._client.list_blob_names(name_starts_with=self._prefix + prefix):
                yield name[len(self._prefix) :]

    def folders(self, prefix: str) -> Iterator[str]:
        """List with a delimiter, so that what lies deeper is not read."""
        whole = self._prefix + prefix
        with _azure(f"listing {prefix}"):
            for item in self._client.walk_blobs(name_starts_with=whole, delimiter="/"):
                if item.name.endswith("/"):
                    yield item.name[len(whole) : -1]

    def delete(self, name: str) -> None:
        """Delete a blob."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415

        with _azure(f"deleting {name}"), suppress(ResourceNotFoundError):
            self._client.delete_blob(self._prefix + name)


@contextmanager
def _azure(what: str) -> "Iterator[None]":
    from azure.core.exceptions import AzureError  # noqa: PLC0415

    try:
        yield
    except AzureError as error:
        first_line = str(error.message).split("\n", maxsplit=1)[0]
        raise StoreUnavailable(f"{what} in Azure Blob Storage: {first_line}") from error


def split_azure(uri: str) -> "tuple[str, str, str]":
    """Take a root apart into account URL, container and prefix (empty, or with a slash at its end).

    Raises:
        SettingError: it names no container.

    """
    parts = urlsplit(uri)
    path = [part for part in parts.path.split("/") if part]
    path_style = _PATH_STYLE.fullmatch(parts.netloc) is not None
    account = f"{parts.scheme}://{parts.netloc}"
    if path_style and path:
        account = f"{account}/{path.pop(0)}"
    if not path:
        raise SettingError(f"store {uri!r} names no container: https://account/container[/prefix]")
    container, *prefix = path
    return account, container, "".join(f"{part}/" for part in prefix)


def _container_client(account: str, container: str) -> Any:
    try:
        from azure.storage.blob import ContainerClient  # noqa: PLC0415
    except ImportError as error:
        raise SettingError(
            "the store is in Azure: pip install azure-storage-blob azure-identity"
        ) from error
    if text := os.environ.get(CONNECTION_STRING):
        try:
            client = ContainerClient.from_connection_string(
                text, container, api_version=API_VERSION
            )
        except ValueError:  # its text may quote the key
            raise SettingError(
                f"{CONNECTION_STRING} cannot be read; copy it from the account's page "
                "`Access keys` in the Azure portal"
            ) from None
        url = client.url.partition("?")[0]  # behind it may stand a signature
        if url != f"{account}/{container}":
            raise SettingError(
                f"{CONNECTION_STRING} is for {url}, the data is in {account}/{container}"
            )
        return client
    credential = _credential(account)
    return ContainerClient(account, container, credential=credential, api_version=API_VERSION)


def _credential(account: str) -> Any:
    if key := os.environ.get(ACCOUNT_KEY):
        from azure.core.credentials import AzureNamedKeyCredential  # noqa: PLC0415

        return AzureNamedKeyCredential(account_name(account), key)
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    return DefaultAzureCredential()


def account_name(account: str) -> str:
    """Read the account's name out of its URL."""
    parts = urlsplit(account)
    return parts.path.strip("/") or parts.netloc.partition(".")[0]
