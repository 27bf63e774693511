"""Which servers are taken, which are refused and how that is said; a cluster is one of them."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from batching.adapters.embedded_valkey import find_server
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.adapters.redis_server import Client, check_server, connect, open_server, shown
from batching.errors import BufferUnavailable, SettingError
from batching.model import SealReason
from batching.names import Key
from batching.ports import Group


async def opened_and_closed(url: str, **options: Any) -> None:
    client = await open_server(url, **options)
    await client.aclose()


def run(call: Awaitable[Any]) -> Any:
    async def answer() -> Any:
        return await call

    return asyncio.run(answer())


def test_a_server_is_taken(valkey: str) -> None:
    run(opened_and_closed(valkey))


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_server_that_drops_single_keys_is_refused(valkey: str, policy: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.config_set("maxmemory-policy", policy)
        try:
            with pytest.raises(SettingError, match=f"is {policy}.; set it to noeviction"):
                run(opened_and_closed(valkey))
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_managed_server_with_volatile_eviction_is_taken(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.config_set("maxmemory-policy", "volatile-lru")
        run(opened_and_closed(valkey))
        client.config_set("maxmemory-policy", "noeviction")


class Old:
    """Answers INFO as an old server does."""

    async def info(self) -> dict[str, Any]:
        return {"redis_version": "6.2.14"}


def test_an_old_server_is_refused() -> None:
    with pytest.raises(SettingError, match=r"is Redis 6\.2\.14; 7\.0 or newer"):
        run(check_server(Old(), "redis://old:6379"))  # type: ignore[arg-type]


def test_a_wrong_password_is_refused_and_never_shown(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.config_set("requirepass", "right")
        try:
            with pytest.raises(SettingError, match="refuses user or password") as refusal:
                run(opened_and_closed(valkey, password="wr0ng"))  # noqa: S106 a test's
            run(opened_and_closed(valkey, password="right"))  # noqa: S106 a test's
        finally:
            client.execute_command("AUTH", "right")
            client.config_set("requirepass", "")
    assert "wr0ng" not in str(refusal.value)


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with socket.socket() as bound:  # a port where nobody listens
        bound.bind(("127.0.0.1", 0))
        url = f"redis://me:s3cret@127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(BufferUnavailable, match=r"no answer from redis://me@127\.0") as refusal:
            run(opened_and_closed(url))
    assert "s3cret" not in str(refusal.value)


def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        began = time.monotonic()
        with pytest.raises(BufferUnavailable):
            run(check_server(client, "redis://silent"))
        assert time.monotonic() - began < 2


def test_a_task_that_is_cancelled_in_the_middle_of_a_call_ends(valkey: str) -> None:
    async def asking(client: Client) -> None:
        for _ in range(1_000):
            await client.execute_command("PING")
        await asyncio.Event().wait()

    async def story() -> list[int]:
        client, alive = connect(valkey), []
        for n in range(60):
            task = asyncio.create_task(asking(client))
            await asyncio.sleep(0.0005)
            for _ in range(n % 6):  # the send, the read, and between them
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=2)
            if not task.done():
                alive.append(n)
                task.cancel()
                await asyncio.wait({task})
        await client.aclose()
        return alive

    assert run(story()) == []


@pytest.mark.parametrize("url", ["http://x:1", "plant7.redis.azure.net:10000", ""])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match=r"redis\.url"):
        connect(url)


def test_a_url_is_shown_without_its_password() -> None:
    assert shown("rediss://u:p@h:1/0") == "rediss://u@h:1/0"
    assert shown("redis://:p@h") == "redis://@h"
    assert shown("unix:///a/b") == "unix:///a/b"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A real cluster of one node that owns all slots, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bus = str(port - 1000 if port > 60000 else port + 1000)
    options = ["--cluster-enabled", "yes", "--bind", "127.0.0.1", "--cluster-port", bus]
    options += ["--port", str(port), "--dir", str(tmp_path), "--save", ""]
    server = subprocess.Popen([find_server(), *options], stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            _wait_until(client.ping)
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            _wait_until(lambda: client.cluster("info")["cluster_state"] == "ok")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_until(true: Any) -> None:
    for _ in range(500):
        try:
            if true():
                return
        except redis.ConnectionError:
            pass
        time.sleep(0.02)
    pytest.fail("the cluster did not start")


def test_a_cluster_holds_a_partition_in_one_slot(cluster: str) -> None:
    async def story() -> None:
        client = await open_server(cluster)
        buffers = [RedisBuffer(client, prefix("store", p)) for p in "01"]
        for buffer in buffers:
            key = Key("vib", "a")
            group = Group(key, 0, 0, [b"body"], 0, 4, b"s", 9, seal_after=SealReason.DRAIN)
            assert (await buffer.append(-1, 0, [group])).w == 0
            assert len(await buffer.peek(9, 9)) == 1
        await buffers[0].wipe()
        assert (await buffers[0].low()).w == -1
        assert (await buffers[1].low()).sealed == 1
        await client.aclose()

    run(story())
