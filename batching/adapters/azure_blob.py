"""A BlobStore in Azure Blob Storage: one container, one prefix, conditions on every write.

A create carries `If-None-Match: *`, a replace `If-Match`. The SDK repeats a request whose
reply was lost, so our own write may look like somebody else's; the port allows for that.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock
from azure.storage.blob.aio import BlobClient, ContainerClient

from batching.adapters.object_names import check_name, check_prefix
from batching.errors import StoreUnavailable

SINGLE_PUT_BYTES = 64 * 2**20  # up to here a body is one request, above it goes in blocks
BLOCK_BYTES = 16 * 2**20
SLOWEST_BYTES_PER_SECOND = 2**20  # a slower line is one that does not answer
_TAKEN = ("BlobAlreadyExists", "ConditionNotMet", "BlobNotFound")
_REFUSALS = (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError)
_NOT_SATISFIABLE = 416


class AzureBlobStore:
    """Objects as block blobs; see `batching.ports.BlobStore`.

    Args:
        container: client of a container that exists, made by `azure_store`.
        prefix: folder of all our names in the container, no slash at its ends; may be empty.
        credential: closed with the store.
        timeout_seconds: for one call with all its repetitions, plus a second per MiB.

    """

    def __init__(
        self,
        container: ContainerClient,
        prefix: str = "",
        *,
        credential: AbstractAsyncContextManager[Any] | None = None,
        timeout_seconds: float = 45.0,
    ) -> None:
        self._container = container
        self._prefix = f"{check_name(prefix)}/" if prefix else ""
        self._credential = credential
        self._timeout_seconds = timeout_seconds
        address = container.url.partition("?")[0]  # what follows may be a signature
        self._uri = f"{address}/{self._prefix}".rstrip("/")

    @property
    def uri(self) -> str:
        """`https://account/container/prefix`, without a slash at its end and without secrets."""
        return self._uri

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        found = await self.get_versioned(name)
        return found and found[0]

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object (shorter at its end); None if there is none."""
        blob = self._blob(name)
        async with self._asking("get_range", name, length):
            try:
                if length <= 0:
                    await blob.get_blob_properties()
                    return b""
                stream = await blob.download_blob(offset=offset, length=length)
                return await stream.readall()
            except ResourceNotFoundError as error:
                _check_absence(error)
                return None
            except HttpResponseError as error:
                if error.status_code == _NOT_SATISFIABLE:  # it ends before `offset`
                    return b""
                raise

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet, from parts; False if it exists."""
        return await self._upload("create", name, b"".join(parts), None) is not None

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        blob = self._blob(name)
        async with self._asking("get", name) as limit:
            try:
                stream = await blob.download_blob()
                limit.reschedule(self._until(stream.size))
                body = await stream.readall()
            except ResourceNotFoundError as error:
                _check_absence(error)
                return None
            return body, stream.properties.etag

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read (None: there was none); None if somebody else did."""
        return await self._upload("replace", name, body, version)

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names that begin with `prefix` and sort after `after`, in order, unbounded."""
        check_prefix(prefix)
        if not after.startswith(prefix):
            if after < prefix:
                async for name in self._list(prefix):
                    yield name
            return
        folder = after[: after.rfind("/") + 1]
        async for name in self._list(max(folder, prefix, key=len)):
            if name > after:
                yield name
        while len(folder) > len(prefix):  # what comes after that folder, level by level
            done, folder = folder, folder[: folder.rfind("/", 0, -1) + 1]
            async for name in self._list_beyond(max(folder, prefix, key=len), done):
                yield name

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        async with self._asking("delete", name):
            try:
                await self._blob(name).delete_blob()
            except ResourceNotFoundError as error:
                _check_absence(error)

    async def close(self) -> None:
        """Let go of connections."""
        await self._container.close()
        if self._credential is not None:
            await self._credential.__aexit__(None, None, None)

    def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + check_name(name))

    async def _upload(self, what: str, name: str, body: bytes, version: str | None) -> str | None:
        """Write if the version is still this one (None: if there is no blob); give the new one."""
        condition: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if version is not None:
            condition = {"match_condition": MatchConditions.IfNotModified, "etag": version}
        blob = self._blob(name)
        async with self._asking(what, name, len(body)):
            try:
                if len(body) > SINGLE_PUT_BYTES:
                    written = await _upload_blocks(blob, body, condition)
                else:
                    written = await blob.upload_blob(body, overwrite=True, **condition)
            except _REFUSALS as error:
                if _code(error) in _TAKEN:
                    return None
                raise
            return str(written["etag"])

    async def _list(self, prefix: str) -> AsyncIterator[str]:
        found = self._container.list_blob_names(name_starts_with=self._prefix + prefix)
        async for page in self._pages(found.by_page(), prefix):
            for name in page:
                yield name.removeprefix(self._prefix)

    async def _list_beyond(self, prefix: str, done: str) -> AsyncIterator[str]:
        """List what sorts after the folder `done` on its level, its neighbours flat."""
        found = self._container.walk_blobs(name_starts_with=self._prefix + prefix, delimiter="/")
        async for page in self._pages(found.by_page(), prefix):
            # within a page the SDK gives folders first
            for entry in sorted(blob.name.removeprefix(self._prefix) for blob in page):
                if entry <= done:
                    continue
                if not entry.endswith("/"):
                    yield entry
                    continue
                async for name in self._list(entry):
                    yield name

    async def _pages(self, pages: AsyncIterator[Any], prefix: str) -> AsyncIterator[list[Any]]:
        while True:
            async with self._asking("list", prefix):
                page = await anext(pages, None)
                if page is None:
                    return
                items = [item async for item in page]
            yield items

    @asynccontextmanager
    async def _asking(
        self, what: str, name: str, size_bytes: int = 0
    ) -> AsyncIterator[asyncio.Timeout]:
        """Bound a call in time, and say what was asked of whom if it fails."""
        try:
            async with asyncio.timeout_at(self._until(size_bytes)) as limit:
                yield limit
        except (AzureError, aiohttp.ClientError, OSError) as error:
            raise StoreUnavailable(
                f"{what} {name or '/'} in {self.uri}: {reason(error)}"
            ) from error

    def _until(self, size_bytes: int) -> float:
        seconds = self._timeout_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND
        return asyncio.get_running_loop().time() + seconds


async def _upload_blocks(
    blob: BlobClient, body: bytes, condition: dict[str, Any]
) -> dict[str, Any]:
    """Stage a large body and commit it under the condition.

    The SDK's own block ids are offsets: two writers of one name would commit each other's
    blocks. Ours begin with a random token.
    """
    token, view = uuid.uuid4().hex, memoryview(body)
    blocks = []
    for offset in range(0, len(body), BLOCK_BYTES):
        block_id = f"{token}{offset:016d}"
        await blob.stage_block(block_id, bytes(view[offset : offset + BLOCK_BYTES]))
        blocks.append(BlobBlock(block_id))
    return await blob.commit_block_list(blocks, **condition)


def _code(error: AzureError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _check_absence(error: ResourceNotFoundError) -> None:
    """Tell "no such object" from "no such container", which is no answer."""
    if _code(error) == "ContainerNotFound":
        raise error


def reason(error: Exception) -> str:
    """Say in one line what went wrong, without what a server echoes of the request."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, HttpResponseError) and error.status_code:
        return f"{error.status_code} {_code(error) or error.reason}"
    return str(error).partition("\n")[0] or type(error).__name__
