"""Names, addresses and folders that every part of the cluster shares."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cache import cache

HERE = Path(__file__).parent
NODE = "node-1"
NODE_ADDRESS = "10.98.1.1"  # of the bridge; pods get 10.98.1.10 and up, see node/bridge.conflist
POD_NETWORK = "10.98.1.0/24"
API_ADDRESS = "10.43.0.1"  # the first of the Services' addresses
SERVICE_NETWORK = "10.43.0.0/24"
API = f"https://{NODE_ADDRESS}:443"
INSIDE = Path("/run/headrace")  # the folder of a life, as the cluster's programs see it


class ClusterError(Exception):
    """Something is missing or went wrong; the message says what, and which log to read."""


def home() -> Path:
    """Give the folder of everything: built parts, lives and logs."""
    return cache() / "cluster"


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Do something that no other process does at the same time; wait for one that does."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
