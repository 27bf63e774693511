"""What the adapters are tried out on: places for a BlobStore, a real Valkey for the buffer."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from batching.adapters.embedded_valkey import find_server
from tests.azurite import Azurite
from tests.batching.adapters.places import Container, Folder, Place


@pytest.fixture(params=["folder", pytest.param("azure", marks=pytest.mark.azurite)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One empty store of each kind."""
    if request.param == "folder":
        return Folder(tmp_path / "store of tests")
    azurite: Azurite = request.getfixturevalue("azurite")
    return Container(azurite.connection_string)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    """URL of a server on a unix socket that keeps nothing on disk and ends with the tests."""
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        socket = Path(folder) / "valkey.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", ""]
        server = subprocess.Popen([find_server(), *options], stdout=subprocess.DEVNULL)
        try:
            while not socket.exists():
                assert server.poll() is None, "the server did not start"
                time.sleep(0.01)
            yield f"unix://{socket}"
        finally:
            server.kill()
            server.wait()


@pytest.fixture
def valkey(valkey_server: str) -> str:
    """URL of a real, empty server."""
    with redis.Redis.from_url(valkey_server) as client:
        client.config_set("maxmemory", 0)
        client.flushall()
        client.script_flush()
    return valkey_server
