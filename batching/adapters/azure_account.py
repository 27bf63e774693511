"""From settings to an AzureBlobStore that answers: sign-in, container, first request."""

import base64
import re
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob.aio import ContainerClient, ExponentialRetry

from batching.adapters.azure_blob import SINGLE_PUT_BYTES, AzureBlobStore, reason
from batching.adapters.object_names import check_name
from batching.errors import CorruptObject, SettingError, StoreUnavailable
from batching.names import STORE, URI

API_VERSION = "2024-11-04"  # every cloud and Azurite have it; the SDK's newest is not everywhere
ROLE = "Storage Blob Data Contributor"
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_FORBIDDEN = (401, 403)


async def azure_store(
    container: str,
    *,
    account: str | None = None,
    prefix: str = "",
    connection_string: str | None = None,
    account_key: str | None = None,
    endpoint: str | None = None,
    read_only: bool = False,
    retries: int = 3,
    timeout_seconds: float = 45.0,
) -> AzureBlobStore:
    """Open a store in Azure and make its container if it is missing and we may.

    Args:
        container: name of the container.
        account: storage account; signed in to by Entra unless `account_key` is given.
        prefix: folder of all our names in the container; may be empty.
        connection_string: instead of an account; may hold a key or a SAS.
        account_key: key of the account.
        endpoint: address of the blob service, where it is not
            `https://<account>.blob.core.windows.net`.
        read_only: for commands that only look: a missing container is not made.
        retries: how often the SDK repeats a request, after 1, 3, 5 ... seconds.
        timeout_seconds: for one call with its repetitions, plus a second per MiB.

    Raises:
        SettingError: a setting is wrong, sign-in failed, or a right is missing.
        StoreUnavailable: the account does not answer.

    """
    _check(container, prefix, account, connection_string)
    _check_key(account_key)
    options = _options(retries)
    credential: DefaultAzureCredential | None = None
    try:
        if connection_string is not None:
            client = ContainerClient.from_connection_string(connection_string, container, **options)
        else:
            address = endpoint or f"https://{account}.blob.core.windows.net"
            key = account_key and AzureNamedKeyCredential(str(account), account_key)
            credential = None if key else DefaultAzureCredential()
            client = ContainerClient(address, container, credential=key or credential, **options)
    except ValueError as error:
        raise SettingError(
            "blobs.azure: connection_string or endpoint cannot be read; copy the connection "
            "string from the account's page `Access keys` in the Azure portal"
        ) from error
    store = AzureBlobStore(client, prefix, credential=credential, timeout_seconds=timeout_seconds)
    try:
        await _prepare(client, store, read_only=read_only)
    except BaseException:
        await store.close()
        raise
    return store


def _check(container: str, prefix: str, account: str | None, connection_string: str | None) -> None:
    if (account is None) == (connection_string is None):
        raise SettingError("blobs.azure: set either account or connection_string")
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise SettingError(
            f"blobs.azure.account: {account!r} is no account; 3-24 letters a-z and digits"
        )
    if not _CONTAINER.fullmatch(container):
        raise SettingError(
            f"blobs.azure.container: {container!r} is no container; "
            "3-63 letters a-z, digits and single hyphens"
        )
    try:
        usable = not prefix or bool(URI.fullmatch(check_name(prefix)))
    except CorruptObject:
        usable = False
    if not usable:
        raise SettingError(
            f"blobs.azure.prefix: {prefix!r}: use letters, digits and ._:=@+- between slashes, "
            "no slash at its ends"
        )


def _check_key(account_key: str | None) -> None:
    try:
        base64.b64decode(account_key or "", validate=True)
    except ValueError as error:
        raise SettingError(
            "blobs.azure.account_key: it is no base64; copy it again from `Access keys` in the "
            "Azure portal"
        ) from error


def _options(retries: int) -> dict[str, Any]:
    return {
        "api_version": API_VERSION,
        "retry_policy": ExponentialRetry(
            initial_backoff=1, increment_base=2, retry_total=retries, random_jitter_range=1
        ),
        "connection_timeout": 5,
        "read_timeout": 20,
        "max_single_put_size": SINGLE_PUT_BYTES,
        "max_single_get_size": SINGLE_PUT_BYTES,
        "max_chunk_get_size": SINGLE_PUT_BYTES,
    }


async def _prepare(client: ContainerClient, store: AzureBlobStore, *, read_only: bool) -> None:
    """Ask for one blob: that needs no right that the service does not need anyway."""
    try:
        await store.get(STORE)
    except StoreUnavailable as unavailable:
        cause = unavailable.__cause__
        if isinstance(cause, ResourceNotFoundError) and read_only:
            raise SettingError(
                f"blobs.azure.container: {store.uri} does not exist; there is no store yet, or "
                "the name is wrong"
            ) from cause
        if isinstance(cause, ResourceNotFoundError):
            await _make_container(client, store)
        elif _is_refused(cause):
            raise SettingError(_no_access(store, cause)) from cause
        else:
            raise


async def _make_container(client: ContainerClient, store: AzureBlobStore) -> None:
    try:
        await client.create_container()
    except ResourceExistsError as error:
        if getattr(error, "error_code", "") == "ContainerBeingDeleted":
            raise StoreUnavailable(f"{store.uri}: the container is being deleted") from error
    except AzureError as error:
        if not _is_refused(error):
            raise StoreUnavailable(f"create {store.uri}: {reason(error)}") from error
        raise SettingError(
            f"blobs.azure.container: {store.uri} does not exist and may not be made by this "
            f"identity ({reason(error)}); make the container, or grant the role {ROLE}"
        ) from error


def _is_refused(error: BaseException | None) -> bool:
    if isinstance(error, HttpResponseError) and error.status_code in _FORBIDDEN:
        return True
    return isinstance(error, ClientAuthenticationError)


def _no_access(store: AzureBlobStore, cause: BaseException | None) -> str:
    if isinstance(cause, HttpResponseError) and cause.status_code:
        return (
            f"blobs.azure: {store.uri} refuses this identity ({reason(cause)}); grant it the "
            f"role {ROLE}, or check the key and the account's firewall"
        )
    return (
        f"blobs.azure: no sign-in for {store.uri}; run `az login`, give the pod a workload "
        "identity, or set connection_string"
    )
