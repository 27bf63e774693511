"""What a worker is told at its start: all that decides how it works, so that it reads no file.

A file may have changed since the parent read it, and a worker that is started again would work by
other rules than its siblings.
"""

from dataclasses import dataclass

from ingest.config import Settings


@dataclass(frozen=True, slots=True)
class Brief:
    """One worker's number and name, and what all of them share."""

    number: int
    settings: Settings  # of the whole service; `instance` is the worker's
    siblings: tuple[str, ...]  # names of all workers


def briefs(settings: Settings) -> tuple[Brief, ...]:
    """Give each worker's brief; workers are named `<instance>.<number>`."""
    names = tuple(f"{settings.instance}.{number}" for number in range(settings.workers))
    return tuple(
        Brief(number, settings.model_copy(update={"instance": name}), names)
        for number, name in enumerate(names)
    )
