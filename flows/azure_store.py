"""The store in Azure Blob Storage, as a flow reads and writes it, and how it signs in."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from batching.errors import SettingError, StoreUnavailable

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
ACCOUNT_KEY = "AZURE_STORAGE_KEY"
API_VERSION = "2024-11-04"  # every cloud and Azurite have it; the SDK's newest is not everywhere
_PATH_STYLE = re.compile(r"(localhost|azurite|[0-9.]+|\[.*\])(:\d+)?")  # the account is in the path


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
        with _answering(f"reading {name}"):
            try:
                return pa.py_buffer(self._client.download_blob(self._prefix + name).readall())
            except ResourceNotFoundError:
                return None

    def create(self, name: str, body: "bytes | memoryview") -> bool:
        """Upload with `If-None-Match: *`."""
        with _answering(f"creating {name}"):
            try:
                self._client.upload_blob(self._prefix + name, bytes(body), overwrite=False)
            except ResourceExistsError:
                return False
        return True

    def names(self, prefix: str) -> Iterator[str]:
        """List page by page."""
        with _answering(f"listing {prefix}"):
            for name in self._client.list_blob_names(name_starts_with=self._prefix + prefix):
                yield name[len(self._prefix) :]

    def folders(self, prefix: str) -> Iterator[str]:
        """List with a delimiter, so that what lies deeper is not read."""
        whole = self._prefix + prefix
        with _answering(f"listing {prefix}"):
            for item in self._client.walk_blobs(name_starts_with=whole, delimiter="/"):
                if item.name.endswith("/"):
                    yield item.name[len(whole) : -1]

    def delete(self, name: str) -> None:
        """Delete a blob."""
        with _answering(f"deleting {name}"), suppress(ResourceNotFoundError):
            self._client.delete_blob(self._prefix + name)


@contextmanager
def _answering(what: str) -> "Iterator[None]":
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
        return AzureNamedKeyCredential(account_name(account), key)
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # slow, and not for keys

    return DefaultAzureCredential()


def account_name(account: str) -> str:
    """Read the account's name out of its URL."""
    parts = urlsplit(account)
    return parts.path.strip("/") or parts.netloc.partition(".")[0]
