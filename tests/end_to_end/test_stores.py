"""The whole path with a store in Azure (a real Azurite), and with a Redis of one's own by TCP."""

import asyncio
import io
import secrets
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pyarrow.parquet
import pytest

from batching import names
from batching.adapters.azure_account import azure_store
from batching.adapters.azure_blob import AzureBlobStore
from batching.adapters.embedded_valkey import find_server
from batching.model import Manifest, Result, load
from batching.verify import Report, Senders, verify
from tests.azurite import Azurite
from tests.end_to_end.plant import Plant, running, stream

PREFIX = "plant7/headrace"
T = TypeVar("T")


@dataclass
class AzurePlant(Plant):
    """A plant whose store is a container in Azurite; services know of it by a variable."""

    azurite: Azurite | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.container = f"c{secrets.token_hex(8)}"
        self.settings["blobs"] = {"azure": {"container": self.container, "prefix": PREFIX}}
        assert self.azurite is not None
        self.environment["HEADRACE_BLOBS_CONNECTION"] = self.azurite.connection_string

    def ask(self, question: Callable[[AzureBlobStore], Awaitable[T]]) -> T:
        """Open the store, as another process would, and ask it something."""

        async def run() -> T:
            assert self.azurite is not None
            store = await azure_store(
                self.container, connection_string=self.azurite.connection_string, prefix=PREFIX
            )
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(run())

    def has_store(self) -> bool:
        async def exists(store: AzureBlobStore) -> bool:
            return await store.get(names.STORE) is not None

        return self.ask(exists)

    def report(self, *, against: bool = True) -> Report:
        senders = Senders.read(self.senders) if against and self.senders.exists() else None
        return self.ask(lambda store: verify(store, senders=senders))

    def objects(self, part: str) -> dict[str, bytes]:
        """Give the objects whose name has `part` in it."""

        async def read(store: AzureBlobStore) -> dict[str, bytes]:
            found = [name async for name in store.names("") if part in name]
            return {name: bytes(await store.get(name) or b"") for name in found}

        return self.ask(read)


def leaks(folder: Path, secret: str) -> list[str]:
    """Name the files that hold a secret."""
    hidden = [secret.encode(), quote(secret, safe="").encode()]
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(f) for f in files if any(text in f.read_bytes() for text in hidden)]


@pytest.mark.azurite
def test_the_whole_path_with_a_store_in_azure(
    tmp_path: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow signs in by the service's own connection string, which is in no file."""
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)
    plant = AzurePlant(tmp_path, azurite=azurite)
    run = {"flow": "SensorProcessingFlow", "after": "1 s", "in_flight": 1}
    plant.settings["streams"] = {"motion": stream(run=run)}
    with running(plant):
        plant.start()
        plant.send(120, rate=60, sensors=3)
        report = plant.complete()
    assert report.runs["succeeded"] >= 1
    assert report.sent == plant.senders.read_text().count("\n")
    results = plant.objects("/results/motion/")
    assert len(results) == report.runs["succeeded"]
    features = plant.objects("/features.parquet")
    for name, raw in results.items():
        result = load(Result, name, raw)
        assert result.by == "flow"
        assert any(result.outputs in written for written in features)
    rows = [pyarrow.parquet.read_table(io.BytesIO(raw)) for raw in features.values()]
    assert {s for table in rows for s in table["sensor"].to_pylist()} == set(report.sensors)
    assert not (tmp_path / "blobs").exists()
    assert not leaks(tmp_path, azurite.key)


@pytest.mark.azurite
def test_two_services_share_the_partitions_by_a_store_in_azure(
    tmp_path: Path, azurite: Azurite
) -> None:
    plant = AzurePlant(tmp_path, azurite=azurite, partitions=4)
    with running(plant):
        plant.start("one")
        second = plant.start("two")
        writers: set[str] = set()
        while writers != {"one", "two"}:
            plant.send(60)
            plant.until(plant.all_committed)
            writers = {load(Manifest, n, raw).writer for n, raw in plant.objects("/log/").items()}
        second.kill()
        second.wait()
        plant.send(100)
        plant.complete()


@contextmanager
def valkey(folder: Path, port: int, password: str) -> Iterator[None]:
    """A server as somebody else runs it: TCP, a password, nothing kept on disk."""
    options: dict[str, Any] = {"bind": "127.0.0.1", "port": port, "save": "", "dir": folder}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    server = subprocess.Popen(
        [find_server(), *words, "--requirepass", password], stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_whole_path_with_a_redis_of_ones_own_that_goes_away_and_comes_back(
    tmp_path: Path,
) -> None:
    port, password = free_port(), f"p@ss/{secrets.token_hex(8)}"
    place = f"127.0.0.1:{port}"
    plant = Plant(tmp_path / "plant")
    plant.folder.mkdir()
    plant.environment["HEADRACE_REDIS__URL"] = f"redis://:{quote(password, safe='')}@{place}"
    with running(plant):
        with valkey(tmp_path, port, password):
            plant.start("one")
            plant.send(200)
            plant.until(lambda report: report.batched > 50)
        plant.send(50)  # nobody takes them now
        del plant.environment["HEADRACE_REDIS__URL"]
        plant.settings["redis"] = {"url": f"redis://{place}"}
        plant.environment["HEADRACE_REDIS_PASSWORD"] = "no" + password
        with valkey(tmp_path, port, password):  # it has forgotten everything
            refused = plant.start("two")
            assert refused.wait(30) == 2
            plant.environment["HEADRACE_REDIS_PASSWORD"] = password
            plant.start("three")
            plant.send(100)
            plant.complete()
            plant.stop()
    said = (plant.folder / "two.log").read_text()
    assert f"redis://{place} refuses user or password" in said
    assert "Traceback" not in said
    assert "server does not answer" in (plant.folder / "one.log").read_text()
    assert not (plant.folder / "valkey").exists()  # none of our own was started
    assert not leaks(plant.folder, password)
