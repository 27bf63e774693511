"""A Valkey as somebody else runs it: TCP, an append-only file, killed and started again."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

import redis

from batching.adapters.embedded_valkey import find_server
from tests.faults.proxy import free_port

START_SECONDS = 60.0


class Valkey:
    """One server on files of its own; nothing is rewritten, so they are its whole history."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.client: redis.Redis = redis.Redis(port=self.port, socket_timeout=20)
        self.start(**options)

    def start(self, *, wait: bool = True, **options: Any) -> None:
        plain = {
            "bind": "127.0.0.1", "port": self.port, "dir": self.folder, "save": "",
            "appendonly": "yes", "appendfsync": "everysec", "auto-aof-rewrite-percentage": 0,
            "logfile": self.folder / "log", "repl-diskless-sync-delay": 0,
        }  # fmt: skip
        named = {name.replace("_", "-"): value for name, value in options.items()}
        words = [w for name, value in {**plain, **named}.items() for w in (f"--{name}", str(value))]
        self._process = subprocess.Popen([find_server(), *words], cwd=self.folder)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it answers and has read its files back."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
                if self.client.ping():
                    return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.client.close()

    def close(self, *, keep: bool = False) -> None:
        self.kill()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def cut_tail(self, chance: Random, *, at_least: int, at_most: int) -> int:
        """Cut a random number of bytes off the end of its file: writes that the disk never saw."""
        file = max(self.folder.glob("appendonlydir/*incr.aof"))
        size = file.stat().st_size
        cut = min(size, chance.randint(at_least, at_most))
        os.truncate(file, size - cut)
        return cut

    def appended(self) -> dict[str, int]:
        """Give w of each partition: up to which number events have been appended."""
        found = sorted(key.decode() for key in self.client.scan_iter(match="hr:*}:w"))
        return {key: int(self.client.get(key) or -1) for key in found}

    def until(self, done: Any, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, self.client.info("replication")
            time.sleep(0.05)
