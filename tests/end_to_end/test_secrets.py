"""Planted secrets are found in nothing that Headrace writes or says; hostile names reach nothing.

The store is a real Azurite, Redis asks for a password, the hub for its key; logs say all they can,
and every command and page is asked while things work and while they do not.
"""

import base64
import json
import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.azurite import Azurite
from tests.end_to_end.plant import Plant, running, stream
from tests.end_to_end.test_stores import AzurePlant, free_port, valkey

RUN = {"flow": "SensorProcessingFlow", "after": "1 s", "in_flight": 1}
COMMANDS = (("check",), ("status",), ("status", "--json"), ("verify", "--json"))
HOSTILE = (
    "../../../escaped",
    "$(touch escaped)",
    "`touch escaped`;touch escaped",
    '"}; drop {',
    "a|b&c>escaped",
    "%2e%2e%2fescaped",
    "-rf",
    "{headrace}*?[a]",
)


def spelled(secret: str) -> list[bytes]:
    """Give the ways in which a secret could be written down."""
    raw = secret.encode()
    return [
        raw,
        quote(secret, safe="").encode(),
        base64.b64encode(raw),
        json.dumps(secret).encode(),
    ]


def command(plant: Plant, *words: str) -> bytes:
    """Run a command with the service's own file and variables; give all that it says."""
    variables = {"HEADRACE_EVENT_HUBS_CONNECTION": plant.connection, **plant.environment}
    config = str(plant.config())
    where = (config,) if words[0] == "check" else ("--config", config)
    done = subprocess.run(
        [sys.executable, "-m", "ingest", words[0], *where, *words[1:]],
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert b"Traceback" not in done.stderr
    return done.stdout + done.stderr


def pages(plant: Plant) -> Iterator[bytes]:
    """Ask the service's port for all it has, an action without its token too."""
    port = json.loads((plant.folder / "http.json").read_text())["port"]
    for method, path in (
        ("GET", "/metrics"), ("GET", "/readyz"), ("GET", "/healthz"),
        ("POST", "/drain"), ("GET", "/no-such-page"),
    ):  # fmt: skip
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                yield answer.read()
        except urllib.error.HTTPError as refused:
            yield refused.read()


@contextmanager
def wrong(plant: Plant, variable: str, value: str) -> Iterator[None]:
    """Let a service meet a secret that opens nothing."""
    before = plant.environment[variable]
    plant.environment[variable] = value
    yield
    plant.environment[variable] = before


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read every file but the hub's own, which must know its key."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and folder / "hub" not in path.parents:
            yield str(path), path.read_bytes()


@pytest.mark.slow
@pytest.mark.azurite
def test_planted_secrets_are_nowhere(tmp_path: Path, azurite: Azurite) -> None:
    password, token = f"pw/{secrets.token_hex(8)}+%", f"token-{secrets.token_hex(8)}"
    port = free_port()
    plant = AzurePlant(tmp_path / "plant", azurite=azurite)
    plant.folder.mkdir()
    plant.settings |= {
        "redis": {"url": f"redis://127.0.0.1:{port}"},
        "streams": {"motion": stream(run=RUN)},
        "logs": {"level": "debug"},
    }
    plant.environment |= {"HEADRACE_REDIS_PASSWORD": password, "HEADRACE_HTTP_TOKEN": token}
    said: dict[str, bytes] = {}
    with running(plant):
        given = plant.connection.partition("SharedAccessKey=")[2].partition(";")[0]
        key = base64.b64encode(secrets.token_bytes(24)).decode()  # this hub lets any key in
        plant.connection = plant.connection.replace(f"Key={given}", f"Key={key}")
        with valkey(tmp_path, port, password):
            plant.start()
            plant.send(120, sensors=3, garbage=0.05)
            plant.until(lambda report: report.runs["succeeded"] > 0)
            said |= {f"page {n}": page for n, page in enumerate(pages(plant))}
            for words in COMMANDS:
                said[" ".join(words)] = command(plant, *words)
            with wrong(plant, "HEADRACE_REDIS_PASSWORD", f"{password}no"):
                assert plant.start("wrong-password").wait(60) == 2
        said["without Redis"] = b"".join(pages(plant)) + command(plant, "status")
        plant.stop()
        other = azurite.connection_string.replace(azurite.key, azurite.key[::-1])
        with wrong(plant, "HEADRACE_BLOBS_CONNECTION", other):
            said["wrong key"] = command(plant, "status")
        stored = plant.objects("")
    places = {**said, **stored, **dict(written(plant.folder))}
    assert len(stored) > 10
    assert any(azurite.account.encode() in text for text in places.values())  # there is a search
    planted = (password, f"{password}no", token, key, azurite.key, azurite.key[::-1])
    assert all(len(secret) > 10 for secret in planted)
    found = [
        place
        for place, text in places.items()
        for secret in planted
        if any(way in text for way in spelled(secret))
    ]
    assert not found


def test_hostile_names_are_sensors_and_nothing_else(tmp_path: Path) -> None:
    good = b'{"t": [1, 2, 3], "ax": [0.5, 1.5, 2.5]}'
    plant = Plant(tmp_path / "plant")
    plant.folder.mkdir()
    plant.settings["streams"] = {"motion": stream(seal={"max_age": "1 s"}, run=RUN)}
    with running(plant):
        plant.start()
        for name in HOSTILE:
            plant.publish(good, partition_key=name)
        report = plant.until(
            lambda report: report.batched == len(HOSTILE) and report.runs["succeeded"] > 0
            and not report.pending
        )  # fmt: skip
        shown = b"".join(pages(plant)).decode()
    assert not report.wrong
    assert set(report.sensors) == set(HOSTILE)
    paths = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert not [path for path in paths if "escaped" in path]
    assert not list(Path.cwd().glob("*escaped*"))
    assert not [name for name in HOSTILE if name in shown]
    assert "escaped" not in shown
