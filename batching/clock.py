"""The machine's clock."""

import asyncio
import time


class SystemClock:
    """Wall time and waiting, as everywhere outside tests."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds UTC since the epoch."""
        return time.time_ns()

    def steady_ns(self) -> int:
        """Nanoseconds since some time; unlike wall time it never jumps."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
