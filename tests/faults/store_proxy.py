"""An HTTP proxy before Azurite that answers wrongly, late, half, or not at all.

`plan` is asked for each request and names a fault or none; everything else passes unchanged,
signatures too, since these cover the path and not the host.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, TCPConnector, web
from yarl import URL

from tests.faults.loop import Loop

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
UNSIGNED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True)
class Fault:
    """One way to go wrong.

    `status` answers without asking the server. The others ask it: `lose_answer` then drops the
    line, `half_answer` drops it in the middle of the body, `wait_seconds` comes before. Of
    `half_request` the server gets half the body, and neither side an answer.
    """

    name: str
    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    lose_answer: bool = False
    half_answer: bool = False
    half_request: bool = False
    wait_seconds: float = 0.0


Plan = Callable[[str, str], Fault | None]  # method, path
GOOD: Plan = lambda _method, _path: None  # noqa: E731


def sometimes(fault: Fault, share: float, *, only: str = "", seed: int = 0) -> Plan:
    """Let a share of the requests go wrong, of all methods or of one."""
    chance = Random(seed)

    def plan(method: str, _path: str) -> Fault | None:
        return fault if method.startswith(only) and chance.random() < share else None

    return plan


class StoreProxy:
    """Listens on a port of its own; `endpoint` is Azurite's account seen through it."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint)
        self.plan: Plan = GOOD
        self.hits: Counter[str] = Counter()
        self._loop = Loop()
        self._loop.run(self._begin())

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._target.path}"

    async def _begin(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=100), auto_decompress=False, raise_for_status=False
        )
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    def close(self) -> None:
        self._loop.run(self._end())
        self._loop.close()

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        fault = self.plan(request.method, request.raw_path)
        body = await request.read()
        if fault is None:
            return await self._forward(request, body)
        self.hits[fault.name] += 1
        await asyncio.sleep(fault.wait_seconds)
        if fault.status:
            headers = {"x-ms-error-code": fault.code, **fault.headers}
            return web.Response(status=fault.status, headers=headers, body=_error(fault.code))
        if fault.half_request:
            await self._forward_half(request, body)
        elif not fault.cut:
            answer = await self._forward(request, body)
            if fault.half_answer:
                return await _half(request, answer)
            if not fault.lose_answer:
                return answer
        return _drop(request)

    def _url(self, request: web.Request) -> URL:
        place = f"{self._target.scheme}://{self._target.netloc}{request.raw_path}"
        return URL(place, encoded=True)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        async with self._session.request(
            request.method,
            self._url(request),
            headers=_headers(request, len(body)),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=UNSIGNED,
        ) as came:
            content = await came.read()
            got = {k: v for k, v in came.headers.items() if k.lower() not in HOP_BY_HOP}
            if request.method == "HEAD" and "Content-Length" in came.headers:
                got["Content-Length"] = came.headers["Content-Length"]
            return web.Response(status=came.status, headers=got, body=content)

    async def _forward_half(self, request: web.Request, body: bytes) -> None:
        async def half() -> AsyncIterator[bytes]:
            yield body[: len(body) // 2]
            await asyncio.sleep(0.05)
            raise ConnectionResetError("half is enough")

        with contextlib.suppress(ClientError, OSError):
            async with self._session.request(
                request.method,
                self._url(request),
                headers=_headers(request, len(body)),
                data=half(),
                skip_auto_headers=UNSIGNED,
            ):
                pass


def _headers(request: web.Request, size_bytes: int) -> dict[str, str]:
    """Give what the client sent, and nothing more: a signature covers it."""
    sent = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
    if size_bytes or request.method == "PUT":
        sent["Content-Length"] = str(size_bytes)
    return sent


async def _half(request: web.Request, answer: web.Response) -> web.StreamResponse:
    content = bytes(answer.body or b"")  # type: ignore[arg-type]
    headers = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
    headers["Content-Length"] = str(len(content))
    begun = web.StreamResponse(status=answer.status, headers=headers)
    await begun.prepare(request)
    await begun.write(content[: len(content) // 2])
    return _drop(request, begun)


def _drop(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return begun or web.Response()


def _error(code: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
        "<Message>made by a test</Message></Error>"
    ).encode()
