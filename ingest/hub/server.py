"""The embedded Event Hubs: a server for the unmodified SDK, on a loop of anybody's."""

import asyncio
import contextlib
import errno
import fcntl
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from batching.errors import SettingError
from batching.structured import structlog
from ingest.hub.connection import Connection
from ingest.hub.frames import error
from ingest.hub.hub import Hub, HubSettings, not_found
from ingest.hub.partition_log import HotSegments, sync
from ingest.hub.tokens import Gate

log = structlog.get_logger(__name__)

HOT_BYTES = 128 * 2**20
_TICK_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0


class HubServer:
    """Serves hubs from one port; `data` is their folder, None keeps events in memory alone."""

    def __init__(
        self,
        hubs: Sequence[HubSettings],
        *,
        data: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        gate: Gate | None = None,
        tls: ssl.SSLContext | None = None,
        hot_bytes: int = HOT_BYTES,
    ) -> None:
        names = [hub.name.lower() for hub in hubs]
        if not names or len(set(names)) < len(names):
            raise SettingError("a hub server needs one hub or more, each with a name of its own")
        self._settings = tuple(hubs)
        self._data = data
        self._host = host
        self._asked_port = port
        self._gate = gate or Gate()
        self.tls = tls
        self._hot_bytes = hot_bytes
        self._hubs: dict[str, Hub] = {}
        self._connections: set[Connection] = set()
        self._lock: int | None = None

    async def start(self) -> int:
        """Open the logs and listen; give the port.

        Raises:
            SettingError: the port or the data folder is taken, or a hub cannot be as asked.

        """
        try:
            self._open()
            self._server = await self._listen()
        except SettingError:
            self._release()
            raise
        self.port = int(self._server.sockets[0].getsockname()[1])
        keeping = self._keep_house()
        self._housekeeping = asyncio.create_task(keeping, name="hub-housekeeping")
        return self.port

    async def _listen(self) -> asyncio.Server:
        try:
            return await asyncio.get_running_loop().create_server(
                lambda: Connection(self._find, self._gate, self._connections),
                self._host,
                self._asked_port,
                ssl=self.tls,
            )
        except OSError as failed:
            why = "it is in use" if failed.errno == errno.EADDRINUSE else failed
            raise SettingError(
                f"cannot listen on {self._host}:{self._asked_port} ({why}): "
                "choose another --port, or 0 for a free one"
            ) from failed

    def _open(self) -> None:
        if self._data is not None:
            self._take(self._data)
        hot = HotSegments(self._hot_bytes)
        try:
            for settings in self._settings:
                self._hubs[settings.name.lower()] = Hub(settings, self._data, hot)
        except OSError as failed:
            raise SettingError(f"cannot keep data in {self._data} ({failed})") from failed

    def _take(self, data: Path) -> None:
        """Lock the folder: two servers on the same files would number events twice."""
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as failed:
            raise SettingError(f"cannot keep data in {data} ({failed.strerror})") from failed
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as taken:
            raise SettingError(
                f"{data} is in use by another hub process: stop it, or choose another --data"
            ) from taken

    def _release(self) -> None:
        for hub in self._hubs.values():
            hub.close()
        self._hubs.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _find(self, name: str) -> Hub:
        """Find a hub, whatever the case of its name; an address below it finds it too.

        Raises:
            Refused: there is none.

        """
        hub = self._hubs.get(name.partition("/")[0].lower())
        if hub is None:
            raise not_found(name)
        return hub

    def connection_string(self, hub: str | None = None, *, show_key: bool = True) -> str:
        """Write what the SDK connects with, for one hub or for all of them.

        Args:
            hub: its name becomes the EntityPath.
            show_key: stars instead of the key otherwise.

        """
        host = "localhost" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        name, key = (self._gate.key_name, self._gate.key) if self._gate.key else ("any", "any")
        parts = [
            f"Endpoint=sb://{host}:{self.port}",
            f"SharedAccessKeyName={name}",
            f"SharedAccessKey={key if show_key or not self._gate.key else '***'}",
        ]
        if hub is not None:
            parts.append(f"EntityPath={self._find(hub).name}")
        if self.tls is None:
            parts.append("UseDevelopmentEmulator=true")  # the SDK's word for "without TLS"
        return ";".join(parts)

    async def _keep_house(self) -> None:
        """Once a second: sync what was written, drop what is old, look after connections."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            partitions = [part for hub in self._hubs.values() for part in hub.partitions]
            try:
                for partition in partitions:
                    partition.retain()
                files = [file for partition in partitions for file in partition.unsynced()]
                await asyncio.to_thread(sync, files)
            except OSError as failed:
                log.error("data folder failed", error=str(failed))
            for connection in list(self._connections):
                connection.check()

    async def close(self) -> None:
        """Tell the clients, end their connections, bring everything to the disk."""
        self._housekeeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._housekeeping
        self._server.close()
        goodbye = error("amqp:connection:forced", "the hub is closing")
        for connection in list(self._connections):
            connection.end(goodbye)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while self._connections:  # noqa: ASYNC110 - each leaves in its own callback
                    await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        self._release()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        reason: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()
