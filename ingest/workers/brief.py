"""What a worker is told at its start: all that decides how it works, so that it reads no file.

A file may have changed since the parent read it, and a worker that is started again would work by
other rules than its siblings.
"""

import pickle
from dataclasses import dataclass

from ingest.config import Settings


@dataclass(frozen=True, slots=True)
class Brief:
    """One worker's number and name, and what all of them share."""

    number: int
    settings: Settings  # of the whole service; `instance` is the worker's
    siblings: tuple[str, ...]  # names of all workers

    def packed(self) -> bytes:
        """Give it as bytes, with the secrets in it: for the worker's own line alone."""
        return pickle.dumps(self)


def briefs(settings: Settings) -> tuple[Brief, ...]:
    """Give each worker's brief; workers are named `<instance>.<number>`."""
    names = tuple(f"{settings.instance}.{number}" for number in range(settings.workers))
    return tuple(
        Brief(number, settings.model_copy(update={"instance": name}), names)
        for number, name in enumerate(names)
    )


def unpacked(body: bytes) -> Brief:
    """Read what `packed` gave; it comes from our own parent, over sockets that nobody else has."""
    brief: Brief = pickle.loads(body)  # noqa: S301 see above
    return brief
