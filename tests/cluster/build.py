"""Build all parts of the cluster, with downloads, compiling and images side by side."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from tests.cluster import images, programs
from tests.cluster.parts import Part
from tests.cluster.place import ClusterError

PROGRAMS = (programs.KUBERNETES, programs.ARGO_PROGRAMS, programs.DNS, programs.CLI)
IMAGES = (images.BASE, images.PAUSE, images.ARGOEXEC)
PARTS = PROGRAMS + IMAGES
Tell = Callable[[str], None]


def missing() -> list[Part]:
    """Give the parts that are still to be built."""
    return [part for part in PARTS if not part.built]


def build(tell: Tell) -> None:
    """Build what is missing; parts that are there take no time.

    Each lane works through its parts in order: one downloads modules ahead of the lane that
    compiles, which keeps all cores busy by itself, and images mostly wait for the disk.

    Raises:
        ClusterError: some part could not be built; the others are kept.
    """
    began, wanted = time.monotonic(), missing()
    steps: dict[str, Future[None]] = {}
    with ExitStack() as lanes:
        downloads, compiling, making = (
            lanes.enter_context(ThreadPoolExecutor(1)) for _ in range(3)
        )
        for part in wanted:
            first = [steps[each.name] for each in part.needs if each.name in steps]
            if part.fetch:
                first.append(downloads.submit(part.fetch))
            lane = making if part in IMAGES else compiling
            steps[part.name] = lane.submit(_step, part, first, began, tell)
    failed = [error for step in steps.values() if (error := step.exception())]
    if failed:
        raise ClusterError("\n".join(dict.fromkeys(map(str, failed))))
    if wanted:
        tell(f"{time.monotonic() - began:5.0f} s  all is built")


def _step(part: Part, first: list[Future[None]], began: float, tell: Tell) -> None:
    try:
        for step in first:
            step.result()
        started = time.monotonic()
        tell(f"{started - began:5.0f} s  {part.name} ...")
        part.build()
    except ClusterError as error:
        why = str(error).partition("\n")[0]
        tell(f"{time.monotonic() - began:5.0f} s  {part.name} is not built: {why}")
        raise
    ended = time.monotonic()
    tell(f"{ended - began:5.0f} s  {part.name} is built, in {ended - started:.0f} s")
