"""What a receiver is told at its start: all that decides how it works, so that it reads no file."""

from dataclasses import dataclass
from typing import Literal

from ingest.hub_facts import HubAddress


@dataclass(frozen=True, slots=True)
class Brief:
    """Where the hub is, how much is fetched, and how log lines look.

    The address has no credential: a receiver signs in by itself where there is no connection
    string.
    """

    address: HubAddress
    prefetch: int
    batch: int
    log_format: Literal["auto", "json", "console"]
    log_level: str
