"""Logs: for people on a terminal, JSON elsewhere, never with a secret in them."""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, TextIO

from batching.structured import structlog

_types = structlog.typing
MASK = "***"
# heard from WARNING on
QUIET = ("azure", "aiohttp", "asyncio", "httpcore2", "httpx2", "urllib3", "msal", "uamqp")
_BY_NAME = re.compile(
    r"\b(SharedAccessKey|AccountKey|SharedAccessSignature|sig|password|client_secret|"
    r"access_token)(=|%3[Dd])(?!%3[Dd])[^;&,\s\"'\\<>)\]]+",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s/:@\"']*):[^\s\"']*@", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


def mask(text: str) -> str:
    """Replace what opens a door: keys, signatures, passwords in addresses, bearer tokens."""
    text = _BY_NAME.sub(rf"\1\2{MASK}", text)
    text = _IN_URL.sub(rf"\1:{MASK}@", text)
    return _BEARER.sub(rf"\1 {MASK}", text)


class _Masked:
    """A renderer whose lines are masked whole: events, facts and tracebacks alike."""

    def __init__(self, inner: _types.Processor) -> None:
        self._inner = inner

    def __call__(self, logger: _types.WrappedLogger, name: str, event: _types.EventDict) -> str:
        return mask(str(self._inner(logger, name, event)))


def configure(
    form: Literal["auto", "json", "console"],
    level: str,
    stream: TextIO | None = None,
    **about: object,
) -> None:
    """Send our own log lines and those of libraries to one place, in one form.

    Args:
        form: auto is console on a terminal and json elsewhere.
        level: debug, info, warning or error: the least that is said.
        stream: standard error if None.
        about: what every line says of this process, such as which of several workers it is.

    """
    out = sys.stderr if stream is None else stream
    shared = _shared(about)
    console = form == "console" or (form == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(console=console, colors=out.isatty()),
            ],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _shared(about: Mapping[str, object]) -> Sequence[_types.Processor]:
    def say_which(_: _types.WrappedLogger, __: str, event: _types.EventDict) -> _types.EventDict:
        return {**event, **about}

    return [
        structlog.contextvars.merge_contextvars,
        say_which,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _renderers(*, console: bool, colors: bool) -> Sequence[_types.Processor]:
    if console:  # plain tracebacks: the richer ones print local variables
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
        return [_Masked(render)]
    return [
        structlog.processors.format_exc_info,
        _Masked(structlog.processors.JSONRenderer(default=str, ensure_ascii=False)),
    ]
