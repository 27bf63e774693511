"""An event loop on which neither an answer nor a full link waits for the SDK's pauses.

The SDK opens a link, and puts a question to the hub, in some ten steps. It reads one frame a
step, and sleeps for 50 ms between two of them, whether or not the next one is there already. On
this loop it looks again after a fortieth of the time that it took so far, some hundred times in
all until it is two seconds; from then on, and once the first events have come, as without it.
Only while many come there are no pauses, or a link would bring no more than it fetches in each.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import Self, TypeVarTuple, Unpack

PAUSE_SECONDS = 0.05  # of the SDK, `azure.eventhub` 5.15, between two looks
SHORTEST_SECONDS = 0.001
PART = 40
_Ts = TypeVarTuple("_Ts")

_current: ContextVar["Hurry | None"] = ContextVar("hurry", default=None)


class Hurry:
    """Something that is waited for: what is called within, and tasks that begin there, hurry."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began, self._over = self._loop.time(), False
        self._flows_until = self._began
        self._token: Token[Hurry | None] | None = None

    def __enter__(self) -> Self:
        """Let what begins from now on hurry."""
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let nothing more begin; what has goes on to hurry."""
        if self._token is not None:
            _current.reset(self._token)

    def over(self) -> None:
        """Let all that has begun go on as it would without this."""
        self._over = True

    def flows(self) -> None:
        """Say that much has just come, so more of it will: for as long as a pause, make none."""
        self._flows_until = self._loop.time() + PAUSE_SECONDS

    def pause(self, now: float) -> float:
        """Give the seconds until the next look."""
        if now < self._flows_until:
            return SHORTEST_SECONDS
        if self._over:
            return PAUSE_SECONDS
        return min(PAUSE_SECONDS, max(SHORTEST_SECONDS, (now - self._began) / PART))


class Loop(asyncio.SelectorEventLoop):
    """The usual event loop, but for pauses as the SDK makes them, where there is a hurry."""

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call something later; see `loop.call_later`."""
        if delay == PAUSE_SECONDS and (hurry := _current.get()) is not None:
            delay = hurry.pause(self.time())
        return super().call_later(delay, callback, *args, context=context)
