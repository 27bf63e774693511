"""What may be asked of a running service, whoever passes the question on: its port, or a parent."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client import Metric


class Answers(Protocol):
    """A service of one process, or of several."""

    async def silent(self) -> Sequence[str]:
        """Say what does not answer any more and must be ended; nothing if all is alive."""
        ...

    async def unready(self) -> Sequence[str]:
        """Say why it is not ready; nothing if it is."""
        ...

    async def metrics(self) -> Iterable[Metric]:
        """Give every metric as it stands."""
        ...

    async def drain(self) -> int:
        """Seal and commit all that is open; give how many batches that were.

        Raises:
            Transient: a server does not answer, or a part of the service does not run now.

        """
        ...

    async def leave(self) -> None:
        """Ask the service to end with nothing open: seal and commit all, then stop.

        Raises:
            Transient: a part of the service does not run now.

        """
        ...


class Front(Protocol):
    """Where a service is asked."""

    async def start(self) -> int:
        """Listen; give the port, zero if there is none.

        Raises:
            SettingError: it cannot listen as it is set.

        """
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...
