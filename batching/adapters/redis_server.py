"""The way to a Redis server, and what must be true of it before events are put there.

Any Redis from 7.0 on or any Valkey will do, by redis://, rediss:// or unix://; a cluster too,
since all keys of a partition share one slot.
"""

import asyncio
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from redis import exceptions as refused
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from batching.errors import BufferUnavailable, SettingError

Client: TypeAlias = "Redis | RedisCluster"
SCHEMES = ("redis", "rediss", "unix")
OLDEST = (7, 0)


def connect(
    url: str,
    *,
    password: str | None = None,
    credential_provider: Any = None,
    timeout_seconds: float = 5.0,
    cluster: bool = False,
) -> Client:
    """Make a client; nothing is sent yet. A call that gets no answer fails within the timeout.

    Args:
        url: `redis://host:port`, `rediss://` for TLS, or `unix:///path/to/socket`; a user
            may stand in it as `redis://user@host`.
        password: kept out of the URL, so that the URL may be shown.
        credential_provider: signs in instead, such as one of `redis-entraid`.
        timeout_seconds: for connecting, and for each answer.
        cluster: speak to a cluster, of which the URL names one node.

    Raises:
        SettingError: the URL has another scheme or cannot be read.

    """
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": None,  # see _Bounded
        "socket_connect_timeout": timeout_seconds,
    }
    if password is not None:
        options["password"] = password
    if credential_provider is not None:
        options["credential_provider"] = credential_provider
    if urlsplit(url).scheme not in SCHEMES:
        raise SettingError(
            f"redis.url: {shown(url)} begins with none of redis://, rediss://, unix://"
        )
    try:
        client = _made(url, options, cluster=cluster)
    except ValueError as error:
        raise SettingError(f"redis.url: {shown(url)} cannot be read: {error}") from error
    client.answer_seconds = timeout_seconds
    return client


def _made(url: str, options: dict[str, Any], *, cluster: bool) -> "_One | _Cluster":
    if cluster:
        # One repetition, since a slot that moved is noticed by a call that failed.
        made = _Cluster.from_url(url, protocol=2, retry=Retry(NoBackoff(), 1), **options)
        return cast("_Cluster", made)
    one = _One.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), **options)
    return cast("_One", one)


class _Bounded:
    """Bounds each call by itself.

    The client's own `socket_timeout` sends by `asyncio.wait_for`, which in Python 3.11 swallows
    a cancellation that comes just when the sending is done: a task that was told to end goes on,
    and who waits for its end waits for ever.
    """

    answer_seconds = 5.0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and wait for its answer, within the timeout."""
        async with asyncio.timeout(self.answer_seconds):
            return await super().execute_command(*args, **options)  # type: ignore[misc]


class _One(_Bounded, Redis):  # type: ignore[misc]
    """One server."""


class _Cluster(_Bounded, RedisCluster):  # type: ignore[misc]
    """A cluster."""


async def open_server(
    url: str, *, password: str | None = None, credential_provider: Any = None
) -> Client:
    """Connect, check the server, and turn to the whole cluster if it is a node of one.

    Raises:
        SettingError: the server refuses us or must not be used; the message says what to set.
        BufferUnavailable: there is no answer.

    """
    client = connect(url, password=password, credential_provider=credential_provider)
    try:
        clustered = await check_server(client, url)
    except BaseException:
        await client.aclose()
        raise
    if not clustered:
        return client
    await client.aclose()
    return connect(url, password=password, credential_provider=credential_provider, cluster=True)


async def check_server(client: Client, url: str = "the server") -> bool:
    """Check version, role and eviction of one server; True if it is a node of a cluster.

    Raises:
        SettingError: the server refuses us or must not be used; the message says what to set.
        BufferUnavailable: there is no answer.

    """
    name = shown(url)
    try:
        info = await client.info()
    except (refused.RedisError, OSError) as error:
        if _is_refusal(error):
            raise SettingError(f"redis: {name} refuses user or password: {error}") from error
        raise BufferUnavailable(f"redis.url: no answer from {name}: {error}") from error
    _check_version(name, str(info.get("redis_version", "0")))
    _check_eviction(name, str(info.get("maxmemory_policy", "noeviction")))
    if info.get("role") == "slave":
        raise SettingError(f"redis.url: {name} is a replica; give the address of its primary")
    return bool(info.get("cluster_enabled"))


async def memory_bytes(client: Client) -> int | None:
    """Give what a server may take: `maxmemory`, else the machine's; of a cluster the least.

    None if it does not say, as some managed ones do not.
    """
    try:
        if isinstance(client, RedisCluster):
            nodes = await client.info("memory", target_nodes=RedisCluster.PRIMARIES)
            said = list(nodes.values())
        else:
            said = [await client.info("memory")]
    except (refused.RedisError, OSError) as error:
        raise BufferUnavailable(f"redis: no answer to INFO memory: {error}") from error
    each = [int(info.get("maxmemory") or info.get("total_system_memory") or 0) for info in said]
    return min(each, default=0) or None


def _is_refusal(error: BaseException | None) -> bool:
    kinds = (refused.AuthenticationError, refused.NoPermissionError)
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__  # redis-py wraps what fails while it connects
    return error is not None


def _check_version(name: str, version: str) -> None:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        raise SettingError(
            f"redis.url: {name} is Redis {version}; 7.0 or newer, or Valkey, is needed"
        )


def _check_eviction(name: str, policy: str) -> None:
    if policy != "noeviction" and not policy.startswith("volatile-"):
        raise SettingError(
            f"redis.url: {name} would drop single keys when memory is short (maxmemory-policy is "
            f"{policy}); set it to noeviction"
        )


def shown(url: str) -> str:
    """Spell a URL without its password."""
    user, at, host = url.rpartition("@")
    scheme, _, name = user.partition("://")
    return f"{scheme}://{name.partition(':')[0]}@{host}" if at else url
