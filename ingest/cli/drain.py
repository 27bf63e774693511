"""`headrace drain`: seal and commit all that is open in a running service, and stop it if asked."""

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from batching.errors import SettingError, Transient
from ingest.cli.options import Config, Json

LOOK_SECONDS, CALM_SECONDS, GRACE_SECONDS = 1.0, 0.2, 15.0
OPEN, LAG = "headrace_open_sensors", "headrace_source_lag_events"
EXAMPLE = """
Examples:

  headrace drain --config headrace.yaml

  headrace drain --stop && $EDITOR headrace.yaml && headrace run --config headrace.yaml
"""


def drain(
    config: Config = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Then stop the service, with nothing open.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the service of this machine take what the hub has, seal every batch and commit.

    Without --stop events go on coming, and new batches open behind it.
    """
    found = asyncio.run(_drain(config, Console(stderr=True, highlight=False), stop=stop))
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"drained: {found['batches']:,} batches sealed and committed")
    if stop:
        typer.echo("stopped, with nothing open")


async def _drain(config: Path | None, console: Console, *, stop: bool) -> dict[str, Any]:
    from ingest.config import load

    settings = load(config, os.environ)
    service = Service.of(settings.data, settings.http.token)
    async with aiohttp.ClientSession(service.url, headers=service.headers) as session:
        with console.status("draining") as shown:
            watching = asyncio.create_task(_watch(session, shown))
            try:
                found = await _post(session, "/drain")
                if stop:
                    shown.update("stopping")
                    await _post(session, "/leave")
                    await _gone(service, float(settings.drain_seconds))
            finally:
                watching.cancel()
    return {**found, "stopped": stop}


class Service:
    """Where the service of a data folder listens, and the token that it wants."""

    def __init__(self, sign: Path, url: str, token: str, pid: int) -> None:
        self._sign, self.url, self.pid = sign, url, pid
        self.headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    def of(cls, data: Path, token: Any) -> "Service":
        """Read what the service left in its data folder.

        Raises:
            SettingError: no service runs there, or its token is not to be had.

        """
        from ingest.http import PORT_FILE, TOKEN_FILE

        try:
            facts = json.loads((data / PORT_FILE).read_text())
        except (OSError, ValueError):
            raise SettingError(f"data: no service runs on {data}: it has no {PORT_FILE}") from None
        try:
            kept = token.get_secret_value() if token else (data / TOKEN_FILE).read_text().strip()
        except OSError as error:
            raise SettingError(f"http.token: {data / TOKEN_FILE}: {error.strerror}") from error
        host = "127.0.0.1" if facts["host"] in ("0.0.0.0", "::") else facts["host"]  # noqa: S104
        return cls(data / PORT_FILE, f"http://{host}:{facts['port']}", kept, facts["pid"])

    def listens(self) -> bool:
        """Tell whether the same process still says that it listens."""
        try:
            return bool(json.loads(self._sign.read_text())["pid"] == self.pid)
        except (OSError, ValueError, KeyError):
            return False


async def _post(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """Ask for an action; it takes as long as it takes.

    Raises:
        Transient: nobody listens there, or the service cannot do it now.
        SettingError: the token is wrong.

    """
    try:
        endless = aiohttp.ClientTimeout(total=None)
        async with session.post(path, timeout=endless) as answer:
            facts: dict[str, Any] = await answer.json()
    except (aiohttp.ClientError, OSError) as error:
        raise Transient(f"the service does not answer: {error}") from error
    if answer.status == aiohttp.web.HTTPUnauthorized.status_code:
        raise SettingError(f"http.token: the service has another one: {facts['error']}")
    if answer.status != aiohttp.web.HTTPOk.status_code:
        raise Transient(f"the service says: {facts.get('error')}")
    return facts


async def _watch(session: aiohttp.ClientSession, shown: Any) -> None:
    """Show how much is open; that it cannot be read is no reason to fail."""
    while True:
        try:
            async with session.get("/metrics") as answer:
                text = await answer.text()
        except (aiohttp.ClientError, OSError):
            return
        sums = {OPEN: 0.0, LAG: 0.0}
        for family in text_string_to_metric_families(text):
            if family.name in sums:
                sums[family.name] = sum(sample.value for sample in family.samples)
        shown.update(f"draining: {sums[LAG]:,.0f} events to take, {sums[OPEN]:,.0f} batches open")
        await asyncio.sleep(LOOK_SECONDS)


async def _gone(service: Service, drain_seconds: float) -> None:
    """Wait until the service has taken away the sign that it listens.

    Raises:
        Transient: it takes longer than it should.

    """
    deadline = asyncio.get_running_loop().time() + drain_seconds + GRACE_SECONDS
    while service.listens():
        if asyncio.get_running_loop().time() > deadline:
            raise Transient(f"the service (process {service.pid}) does not end; see its log")
        await asyncio.sleep(CALM_SECONDS)
