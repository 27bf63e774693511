"""The service as a process of its own, watched, and started again when it dies."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp

from batching.errors import Transient

STOP_SECONDS = 40
FEW_DEATHS = 3
ANSWER = aiohttp.ClientTimeout(total=60)


class Unreachable(Transient):
    """The service does not answer just now."""


class Supervised:
    """Runs `headrace run` on a file; its data folder tells port and token."""

    def __init__(self, config: Path, data: Path) -> None:
        self._config, self._data = config, data
        self._process: subprocess.Popen[bytes] | None = None
        self._died: float | None = None
        self.metrics: dict[str, float] = {}  # summed over labels
        self.kills = self.restarts = 0
        self.back_seconds: float | None = None  # from its death to its next answer

    def start(self) -> None:
        """Start the process."""
        (self._data / "http.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "ingest", "run", "--config", str(self._config)]
        with (self._data / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """Kill it with -9, as a node that dies would."""
        if self._process is not None:
            self.kills += 1
            self._process.kill()

    async def look(self) -> None:
        """Read its numbers; start it again if it is dead.

        Raises:
            Transient: it does not stay up.

        """
        if self._process is not None and self._process.poll() is not None:
            self._died = time.monotonic()
            self.restarts += 1
            if self.restarts > FEW_DEATHS:
                raise Transient(f"the service does not stay up: {self._last_words()}")
            self.start()
        try:
            self.metrics = await self._scrape()
        except Unreachable:
            return
        if self._died is not None:
            self.back_seconds, self._died = time.monotonic() - self._died, None

    def _last_words(self) -> str:
        lines = (self._data / "service.log").read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:])

    async def _scrape(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for line in (await self._ask("GET", "/metrics")).splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                plain = name.partition("{")[0]
                found[plain] = found.get(plain, 0.0) + float(value)
        return found

    async def drain(self) -> None:
        """Ask it to seal and commit everything.

        Raises:
            Unreachable: it does not answer.

        """
        await self._ask("POST", "/drain")

    async def _ask(self, method: str, path: str) -> str:
        try:
            port = json.loads((self._data / "http.json").read_text())["port"]
            token = (self._data / "http-token").read_text().strip()
            async with (
                aiohttp.ClientSession(timeout=ANSWER) as session,
                session.request(
                    method,
                    f"http://127.0.0.1:{port}{path}",
                    headers={"Authorization": f"Bearer {token}"},
                ) as answer,
            ):
                answer.raise_for_status()
                return await answer.text()
        except (aiohttp.ClientError, OSError, ValueError, KeyError, TimeoutError) as error:
            raise Unreachable(f"the service does not answer: {error}") from error

    async def stop(self) -> None:
        """Stop it as a kubelet would, and wait."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
