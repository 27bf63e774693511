"""How long things are kept, and what the store says about what is no longer there."""

from dataclasses import dataclass

from batching import names
from batching.model import Trimmed, load
from batching.ports import BlobStore

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages in nanoseconds; None keeps for ever.

    `bundles` go with their manifests. `superseded` parked objects are no longer listed by the
    log, `orphans` are bundles that their manifest does not name.
    """

    bundles_ns: int | None = None
    dead_letters_ns: int | None = 90 * DAY_NS
    superseded_ns: int = 3_600 * 10**9
    orphans_ns: int = DAY_NS
    interval_ns: int = 600 * 10**9


async def read_trimmed(store: BlobStore, hub: str, partition: str) -> tuple[Trimmed, str | None]:
    """Read what was trimmed of a partition's log, and the version of that fact.

    Raises:
        StoreUnavailable: no answer.

    """
    name = names.trimmed(hub, partition)
    found = await store.get_versioned(name)
    return (Trimmed(), None) if found is None else (load(Trimmed, name, found[0]), found[1])
