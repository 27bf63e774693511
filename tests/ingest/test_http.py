import asyncio
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Metric

from batching.errors import SettingError, StoreUnavailable
from ingest.config import Settings, load
from ingest.http import PORT_FILE, TOKEN_FILE, HttpServer


class World:
    def __init__(self, data: Path, environ: dict[str, str]) -> None:
        self.settings: Settings = load(None, {"HEADRACE_DATA": str(data), **environ})
        self.registry = CollectorRegistry()
        Counter("headrace_things", "Things.", registry=self.registry).inc(3)
        self.reasons: list[str] = []
        self.drained = 0
        self.broken = False
        self.left = 0
        self.mute: list[str] = []
        self.server = HttpServer(self.settings, self)

    async def silent(self) -> list[str]:
        return self.mute

    async def unready(self) -> list[str]:
        return self.reasons

    async def metrics(self) -> Iterable[Metric]:
        return self.registry.collect()

    async def leave(self) -> None:
        self.left += 1

    async def drain(self) -> int:
        if self.broken:
            raise StoreUnavailable("no answer from the store")
        self.drained += 1
        return 7


Story = Callable[[World, aiohttp.ClientSession], Awaitable[None]]


def play(data: Path, story: Story, **environ: str) -> None:
    async def main() -> None:
        world = World(data, {"HEADRACE_HTTP__PORT": "0", **environ})
        port = await world.server.start()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                await story(world, session)
        finally:
            await world.server.close()

    asyncio.run(main())


async def fetch(session: aiohttp.ClientSession, path: str, **options: Any) -> tuple[int, Any]:
    method = options.pop("method", "GET")
    async with session.request(method, path, **options) as answer:
        return answer.status, await answer.json()


def test_the_service_is_alive_and_says_why_it_is_not_ready(tmp_path: Path) -> None:
    async def story(world: World, session: aiohttp.ClientSession) -> None:
        world.reasons = ["partition 3 is attaching"]
        assert await fetch(session, "/healthz") == (200, {"alive": True})
        unready = {"ready": False, "reasons": ["partition 3 is attaching"]}
        assert await fetch(session, "/readyz") == (503, unready)
        world.reasons = []
        assert await fetch(session, "/readyz") == (200, {"ready": True, "reasons": []})
        world.mute = ["worker 1 does not answer"]
        dead = {"alive": False, "reasons": ["worker 1 does not answer"]}
        assert await fetch(session, "/healthz") == (503, dead)

    play(tmp_path, story)


def test_metrics_come_in_the_format_that_was_asked_for(tmp_path: Path) -> None:
    async def story(_: World, session: aiohttp.ClientSession) -> None:
        async with session.get("/metrics") as plain:
            assert plain.headers["Content-Type"].startswith("text/plain; version=")
            assert "headrace_things_total 3.0" in await plain.text()
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with session.get("/metrics", headers=accept) as open_metrics:
            assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await open_metrics.text()).endswith("# EOF\n")

    play(tmp_path, story)


def test_an_action_needs_the_token_of_the_data_folder(tmp_path: Path) -> None:
    async def story(world: World, session: aiohttp.ClientSession) -> None:
        path = tmp_path / TOKEN_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        right = {"Authorization": f"Bearer {path.read_text().strip()}"}
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Bearer "}):
            status, facts = await fetch(session, "/drain", method="POST", headers=wrong)
            assert status == 401
            assert "token" in facts["error"]
        assert (await fetch(session, "/drain", headers=right))[0] == 405
        assert world.drained == 0
        posted = await fetch(session, "/drain", method="POST", headers=right)
        assert posted == (200, {"batches": 7})
        assert (await fetch(session, "/leave", method="POST"))[0] == 401
        assert world.left == 0
        left = await fetch(session, "/leave", method="POST", headers=right)
        assert left == (200, {"leaving": True})
        assert world.left == 1
        world.broken = True
        failed = await fetch(session, "/drain", method="POST", headers=right)
        assert failed == (503, {"error": "no answer from the store"})

    play(tmp_path, story)


def test_a_token_from_the_settings_is_written_nowhere(tmp_path: Path) -> None:
    async def story(world: World, session: aiohttp.ClientSession) -> None:
        right = {"Authorization": "Bearer hunter2 ü"}
        assert (await fetch(session, "/drain", method="POST", headers=right))[0] == 200
        assert world.drained == 1
        assert not (tmp_path / TOKEN_FILE).exists()
        assert "hunter2" not in (tmp_path / PORT_FILE).read_text()

    play(tmp_path, story, HEADRACE_HTTP_TOKEN="hunter2 ü")  # noqa: S106


def test_a_restart_keeps_the_token_and_closes_its_file_to_others(tmp_path: Path) -> None:
    tokens = []

    async def story(_: World, __: aiohttp.ClientSession) -> None:
        path = tmp_path / TOKEN_FILE
        tokens.append(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)

    play(tmp_path, story)
    play(tmp_path, story)
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) > 40


def test_commands_find_the_port_in_the_data_folder_while_the_service_runs(tmp_path: Path) -> None:
    async def story(_: World, session: aiohttp.ClientSession) -> None:
        facts = json.loads((tmp_path / PORT_FILE).read_text())
        assert facts["pid"] == os.getpid()
        address = f"http://127.0.0.1:{facts['port']}/healthz"
        assert await fetch(session, address) == (200, {"alive": True})

    play(tmp_path, story)
    assert not (tmp_path / PORT_FILE).exists()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, r"http\.port: \d+ on 127\.0\.0\.1 is in use; set another, or 0"),
        ({"HEADRACE_HTTP__HOST": "192.0.2.7"}, r"http\.host: cannot listen on 192\.0\.2\.7"),
        ({"HEADRACE_HTTP__HOST": "no.such.invalid"}, r"http\.host: cannot listen on no\.such"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {"HEADRACE_HTTP__PORT": str(taken.getsockname()[1])}
        with pytest.raises(SettingError, match=said):
            asyncio.run(World(tmp_path, {**port, **environ}).server.start())


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file", {"HEADRACE_HTTP__PORT": "0"})
    with pytest.raises(SettingError, match=r"data: .* cannot be written"):
        asyncio.run(world.server.start())
