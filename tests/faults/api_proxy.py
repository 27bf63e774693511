"""An HTTP proxy before a Kubernetes API server that answers wrongly, late, or not at all.

`plan` is asked for each request, as before Azurite, and names a fault or none; everything else
passes unchanged, watches as they come. Clients speak plain HTTP with it; it checks the server's
certificate.
"""

import asyncio
import json
import ssl
from collections import Counter
from http import HTTPStatus
from pathlib import Path

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from tests.faults.loop import Loop
from tests.faults.store_proxy import GOOD, HOP_BY_HOP, Fault, Plan


class ApiProxy:
    """Listens on a port of its own; `url` is the API server seen through it."""

    def __init__(self, target: str, authority: Path) -> None:
        self._target, self._authority = target, authority
        self.plan: Plan = GOOD
        self.hits: Counter[str] = Counter()
        self._watching: set[asyncio.Transport] = set()
        self._asking = 0  # requests whose answer has not begun
        self._loop = Loop()
        self._loop.run(self._begin())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _begin(self) -> None:
        context = ssl.create_default_context(cafile=str(self._authority))
        self._session = ClientSession(
            connector=TCPConnector(limit=100, ssl=context),
            auto_decompress=False,
            timeout=ClientTimeout(total=None),
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = int(self._runner.addresses[0][1])

    def cut(self) -> None:
        """End every watch at once."""
        self._loop.run(self._cut())

    async def _cut(self) -> None:
        for transport in self._watching:
            transport.abort()

    def close(self) -> None:
        self._loop.run(self._end())
        self._loop.close()

    async def _end(self) -> None:
        while self._asking:  # noqa: ASYNC110  # cancelled in a TLS handshake, a socket stays open
            await asyncio.sleep(0.01)
        await self._cut()
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
            return _answer(fault)
        if not fault.cut:
            answer = await self._forward(request, body)
            if not fault.lose_answer:
                return answer
        _abort(request)
        return web.Response()

    async def _forward(self, request: web.Request, body: bytes) -> web.StreamResponse:
        sent = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        url = URL(f"{self._target}{request.raw_path}", encoded=True)
        try:
            async with await self._ask(request.method, url, sent, body) as came:
                got = {k: v for k, v in came.headers.items() if k.lower() not in HOP_BY_HOP}
                if "watch=" not in request.query_string:
                    return web.Response(status=came.status, headers=got, body=await came.read())
                answer = web.StreamResponse(status=came.status, headers=got)
                await answer.prepare(request)
                transport = request.transport
                if transport is None:  # the client has gone
                    return answer
                self._watching.add(transport)
                try:
                    async for piece in came.content.iter_any():
                        await answer.write(piece)
                finally:
                    self._watching.discard(transport)
                return answer
        except (ClientError, OSError):
            _abort(request)
            return web.Response()

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], body: bytes
    ) -> ClientResponse:
        self._asking += 1
        try:
            return await self._session.request(method, url, headers=headers, data=body or None)
        finally:
            self._asking -= 1


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _answer(fault: Fault) -> web.Response:
    """Answer as the API server does: a Status, or plain text where it is too busy for one."""
    if fault.status == HTTPStatus.TOO_MANY_REQUESTS:
        text = "Too many requests, please try again later.\n"
        return web.Response(status=fault.status, headers=fault.headers, text=text)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"{fault.name}, made by a test",
        "reason": fault.code,
        "code": fault.status,
    }
    return web.Response(
        status=fault.status,
        headers=fault.headers,
        text=json.dumps(status),
        content_type="application/json",
    )
