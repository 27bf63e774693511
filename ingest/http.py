"""The service's one port: alive, ready, metrics, and actions for who knows the token."""

import contextlib
import errno
import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from batching.errors import BatchError, SettingError
from ingest.answers import Answers
from ingest.config import Settings

PORT_FILE, TOKEN_FILE = "http.json", "http-token"
CLOSE_SECONDS = 2.0
SCHEME = "Bearer "
_PRIVATE = 0o600


class HttpServer:
    """Serves one service, of one process or of several.

    Args:
        settings: of the service; `http` and `data` are read.
        answers: what the service says.

    """

    def __init__(self, settings: Settings, answers: Answers) -> None:
        self._http, self._data = settings.http, settings.data
        self._answers = answers
        self._token = b""
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; give the port, and leave it in the data folder for commands of this machine.

        Raises:
            SettingError: the port or the address cannot be used, or the data folder not written.

        """
        app = web.Application(middlewares=[_told])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/drain", self._post_drain)
        app.router.add_post("/leave", self._post_leave)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            await self._listen(runner)
            port = int(runner.addresses[0][1])
            self._leave_traces(port)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return port

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        with contextlib.suppress(OSError, ValueError):
            path = self._data / PORT_FILE
            if json.loads(path.read_text())["pid"] == os.getpid():
                path.unlink()
        await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> None:
        host, port = self._http.host, self._http.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SettingError(
                    f"http.port: {port} on {host} is in use; set another, or 0 for any free one"
                ) from error
            if error.errno == errno.EACCES:
                raise SettingError(
                    f"http.port: {port} may not be used by this user; set one above 1023"
                ) from error
            raise SettingError(
                f"http.host: cannot listen on {host}; set an address of this machine, such as"
                f" 127.0.0.1 or 0.0.0.0 ({error.strerror or error})"
            ) from error

    def _leave_traces(self, port: int) -> None:
        """Write the token, unless it was given, and then where we listen."""
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            given = self._http.token
            token = given.get_secret_value() if given else kept_token(self._data / TOKEN_FILE)
            facts = {"host": self._http.host, "port": port, "pid": os.getpid()}
            _replace(self._data / PORT_FILE, json.dumps(facts) + "\n")
        except OSError as error:
            raise SettingError(f"data: {self._data} cannot be written: {error.strerror}") from error
        self._token = token.encode()

    async def _healthz(self, _: web.Request) -> web.Response:
        reasons = list(await self._answers.silent())
        if reasons:
            return web.json_response({"alive": False, "reasons": reasons}, status=503)
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = list(await self._answers.unready())
        facts = {"ready": not reasons, "reasons": reasons}
        return web.json_response(facts, status=503 if reasons else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(_Told(await self._answers.metrics()))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _post_drain(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return web.json_response({"batches": await self._answers.drain()})

    async def _post_leave(self, request: web.Request) -> web.Response:
        self._check_token(request)
        await self._answers.leave()
        return web.json_response({"leaving": True})

    def _check_token(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        right = given.startswith(SCHEME) and hmac.compare_digest(
            given.removeprefix(SCHEME).strip().encode(errors="replace"), self._token
        )
        if not right:
            raise web.HTTPUnauthorized(
                text="this needs the header `Authorization: Bearer <token>`; the token stands in"
                f" {TOKEN_FILE} in the data folder unless http.token is set",
                headers={"WWW-Authenticate": "Bearer"},
            )


class _Told(Collector):
    """Metrics that were asked for, in the form that encoders read."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Give them."""
        return self._metrics


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer in JSON, errors too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        kept = {k: v for k, v in error.headers.items() if k in ("WWW-Authenticate", "Allow")}
        facts = {"error": error.text or error.reason}
        return web.json_response(facts, status=error.status, headers=kept)
    except BatchError as error:
        return web.json_response({"error": str(error)}, status=503)


def kept_token(path: Path) -> str:
    """Read the token of a data folder, or make one that only its owner can read."""
    with contextlib.suppress(FileNotFoundError):
        path.chmod(_PRIVATE)
        if token := path.read_text().strip():
            return token
    token = secrets.token_urlsafe(32)
    _replace(path, token + "\n", mode=_PRIVATE)
    return token


def _replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file at once, so that nobody reads half of it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    new.replace(path)
