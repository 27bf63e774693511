"""`headrace drain` without a service, and with a wrong token, says what is wrong."""

import asyncio
from pathlib import Path
from typing import cast

import aiohttp
import pytest

from batching.errors import SettingError, StoreUnavailable, Transient
from ingest.answers import Answers
from ingest.cli.drain import Service, _post, drain
from ingest.config import load
from ingest.http import HttpServer


def test_a_folder_without_a_service_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATA", str(tmp_path))
    with pytest.raises(SettingError, match=r"no service runs on .*: it has no http.json"):
        drain(None, stop=False, as_json=False)


def test_a_service_that_is_gone_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATA", str(tmp_path))
    (tmp_path / "http.json").write_text('{"host": "127.0.0.1", "port": 1, "pid": 1}')
    (tmp_path / "http-token").write_text("token")
    with pytest.raises(Transient, match="does not answer"):
        drain(None, stop=False, as_json=False)


def test_what_the_service_answers_is_told(tmp_path: Path) -> None:
    settings = load(None, {"HEADRACE_DATA": str(tmp_path), "HEADRACE_HTTP__PORT": "0"})

    class Refuses:
        async def drain(self) -> int:
            raise StoreUnavailable("no answer from the store")

    async def story() -> None:
        server = HttpServer(settings, cast("Answers", Refuses()))
        await server.start()
        service = Service.of(tmp_path, None)
        assert service.listens()
        try:
            async with aiohttp.ClientSession(service.url, headers=service.headers) as session:
                with pytest.raises(Transient, match="no answer from the store"):
                    await _post(session, "/drain")
            async with aiohttp.ClientSession(service.url) as session:
                with pytest.raises(SettingError, match=r"http\.token"):
                    await _post(session, "/leave")
        finally:
            await server.close()
        assert not service.listens()

    asyncio.run(story())
