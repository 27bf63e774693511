"""One sample a second of what a soak's processes need and do."""

from pathlib import Path
from typing import Any

import aiohttp

from tests.soak.site import Site

ANSWER = aiohttp.ClientTimeout(total=2)
GAUGES = {
    "open_batches": "headrace_open_sensors",
    "checkpoint_distance_events": "headrace_checkpoint_distance_events",
    "parked_events": "headrace_parked_events",
    "lag_events": "headrace_source_lag_events",
}
RECEIVED = "headrace_events_received_total"


class Watch:
    """Looks at processes in /proc, and at the metrics of each service."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._received: dict[int, float] = {}  # by process: a new one counts from zero
        self._bytes_read, self._sent = 0, 0

    async def sample(self) -> dict[str, Any]:
        """Give what can be seen now; what does not answer is left out."""
        found: dict[str, Any] = {"sent": self._senders(), **await self._metrics()}
        for name, service in self._site.services.items():
            if service.poll() is None:
                found |= _process(f"service_{name}", service.pid)
        if (pid := await self._site.valkey_pid()) is not None:
            found |= _process("valkey", pid)
        return found

    async def _metrics(self) -> dict[str, Any]:
        sums: dict[str, float] = {}
        async with aiohttp.ClientSession(timeout=ANSWER) as session:
            for name, service in self._site.services.items():
                if service.poll() is not None:
                    continue
                for metric, value in (await _scrape(session, self._site.ports[name])).items():
                    if metric == RECEIVED:
                        self._received[service.pid] = value
                    sums[metric] = sums.get(metric, 0.0) + value
        found = {key: sums[metric] for key, metric in GAUGES.items() if metric in sums}
        return {"received": sum(self._received.values()), **found}

    def _senders(self) -> int:
        """Count the lines that the senders' log has got since."""
        if self._site.plant.senders.exists():
            with self._site.plant.senders.open("rb") as log:
                log.seek(self._bytes_read)
                new = log.read()
            self._bytes_read += len(new)
            self._sent += new.count(b"\n")
        return self._sent


async def _scrape(session: aiohttp.ClientSession, port: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    try:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return {}
    for line in lines:
        name = line.partition("{")[0].partition(" ")[0]
        if name == RECEIVED or name in GAUGES.values():
            sums[name] = sums.get(name, 0.0) + float(line.rpartition(" ")[2])
    return sums


def _process(name: str, pid: int) -> dict[str, float]:
    """Give its share of memory (shared pages divided) and its open descriptors."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has just ended
        return {}
    (pss,) = (line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))
    return {f"{name}_pss_bytes": int(pss) * 1024, f"{name}_files": files}
