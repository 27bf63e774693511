"""How processes of the simulation speak to the world: one external call at a time."""

from collections.abc import Callable, Generator
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Steps = Generator[Call, Any, Any]


class Timeout(Exception):
    """The answer did not come: the call was applied, will be applied later, or never will be."""


class Reattach(Exception):
    """Forget everything and start from the position."""


class Gone(Exception):
    """A parked object is there no longer: others have superseded it."""


class WrongStore(Exception):
    """The store is another one than this process opened: stop."""


def call(function: Callable[..., Any], *args: Any) -> Steps:
    """Repeat until answered: every call of the protocol may be repeated."""
    while True:
        try:
            return (yield function, args)
        except Timeout:
            continue
