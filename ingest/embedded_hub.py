"""The embedded Event Hubs beside the service: a process of its own, adopted if it runs already."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from batching.errors import SettingError
from ingest.settings.source import EmbeddedHub as HubSettings

START_SECONDS, STOP_SECONDS = 20.0, 10.0


class EmbeddedHub:
    """Starts `headrace hub` on a folder, unless one answers there.

    Whoever uses it holds a shared lock; the last one to let go stops it. So it outlives a
    service that was killed, and the next one finds its events.
    """

    def __init__(self, folder: Path, settings: HubSettings) -> None:
        self._folder, self._settings = folder, settings
        self._ready = folder / "ready.json"
        self._users: TextIO | None = None
        self._process: subprocess.Popen[bytes] | None = None  # None: adopted

    async def start(self) -> str:
        """Give the connection string of the hub that runs on the folder.

        Raises:
            SettingError: it does not start; the message has its own last words.

        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._users = (self._folder / "users.lock").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        if (found := await self.running()) is not None:
            return found
        self._ready.unlink(missing_ok=True)
        self._process = process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if (found := await self.running()) is not None:
                return found
            await asyncio.sleep(0.05)
        raise SettingError(f"source.embedded: the hub does not start: {self._last_words()}")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with (self._folder / "hub.log").open("ab") as log:
            return subprocess.Popen(self._command(), stdout=log, stderr=log, start_new_session=True)

    def _command(self) -> list[str]:
        hub = self._settings
        command = [sys.executable, "-m", "ingest", "hub", "--data", str(self._folder)]
        command += ["--port", str(hub.port), "--hub", f"{hub.hub}:{hub.partitions}"]
        if hub.consumer_group != "$Default":
            command += ["--group", hub.consumer_group]
        return [*command, "--ready-file", str(self._ready)]

    async def running(self) -> str | None:
        """Give the connection string in the ready file, if something listens at its port."""
        ready = self._said()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", ready["port"])
        except (OSError, KeyError):
            return None
        writer.close()
        return str(ready["connection_string"])

    def _said(self) -> dict[str, Any]:
        try:
            found = json.loads(self._ready.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _last_words(self) -> str:
        lines = (self._folder / "hub.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def stop(self) -> None:
        """Let go of the hub; stop it if nobody else uses it."""
        if self._users is None:
            return
        with self._users as users:
            self._users = None
            pid = self._said().get("pid")
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            if isinstance(pid, int) and await self.running() is not None:
                os.kill(pid, signal.SIGTERM)
                await asyncio.to_thread(self._wait_for_end, pid)
                self._ready.unlink(missing_ok=True)

    def _wait_for_end(self, pid: int) -> None:
        """Wait until the hub is gone; it may be another process's child."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                return
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
