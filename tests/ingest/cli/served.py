"""A store that a real service has written: runs that ended well and badly, a dead letter, more.

Numbers 0 to 9 are events of sensor press-1, 5 a batch; 10 cannot be read; 11 and 12 belong to no
stream. 13 to 15, of press-2, came last: their batch is open.
"""

import json
import signal
from pathlib import Path

import tests.crash.quick_flow
from tests.end_to_end.plant import Plant, running

QUICK = Path(tests.crash.quick_flow.__file__)
RUN = {"flow": "Quick", "over": ["s"], "after": 0, "backoff": 0, "attempts": 2}
SETTINGS = {
    "streams": {
        "s": {
            "match": {"sensors": "press-*"},
            "decode": {"format": "json", "time": {"field": "t", "unit": "ms"}, "channels": ["x"]},
            "seal": {"max_chunks": 5, "max_age": "1 h"},
        }
    },
    "unmatched": "count",
    "flows": {"Quick": str(QUICK)},
    "jobs": {
        "job_quick": RUN,
        "job_failing": RUN,
        "yearly": {"flow": "Quick", "over": ["s"], "schedule": "0 0 1 1 *"},
    },
}


def served(folder: Path) -> Plant:
    """Run a service until all has come to its end, and stop it."""
    with running(Plant(folder, partitions=1, settings=SETTINGS)) as plant:
        service = plant.start()
        plant.publish(*map(body, range(10)), partition_key="press-1")
        plant.publish(b"{", partition_key="press-1")
        plant.publish(body(11), body(12), partition_key="stranger")
        plant.until(lambda r: r.batches == 2)
        plant.drain()
        plant.until(lambda r: r.runs["succeeded"] > 0 and not r.runs["running"] and r.ignored == 2)
        plant.publish(*map(body, range(13, 16)), partition_key="press-2")
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    return plant


def body(number: int) -> bytes:
    """Ten samples."""
    times = [1_790_000_000_000 + 1_000 * number + i for i in range(10)]
    return json.dumps({"t": times, "x": [float(number)] * 10}).encode()
