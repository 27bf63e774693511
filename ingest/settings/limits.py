"""What one service may hold at once, over all its partitions."""

from pydantic import Field

from batching.limits.pressure import Bounds
from ingest.settings.kinds import Bytes, Count, Part
from ingest.units import Size


class Limits(Part):
    """What one service holds at once, over all its partitions; above it the hub keeps what comes.

    At 80 % of a limit the largest open batches (the oldest, if there are too many) are sealed
    down to 60 %, with the reason `pressure`; at the limit the intake waits for the commits. Each
    of several `workers` has an equal part of every limit.
    """

    open_bytes: Bytes = Field(
        default=Size(512 * 2**20),
        description="Encoded bytes in Redis: open batches, and sealed ones that wait for their"
        " manifest. Lowered to half of what Redis may take.",
    )
    sealed_bytes: Bytes = Field(
        default=Size(6 * 2**20),
        description="Of these, sealed ones that wait: above it the intake waits until manifests"
        " are made. More lets Redis take more while the store is slow.",
    )
    open_sensors: Count = Field(
        default=200_000,
        description="Batches in Redis, open and waiting; each takes 1 kB here and 640 B there"
        " beside its bytes.",
    )
    in_flight_events: Count = Field(
        default=50_000,
        description="Events received and not in Redis yet; lowers `receive` for each partition"
        " when there are many.",
    )

    def bounds(self) -> Bounds:
        """Give what the governor takes."""
        return Bounds(
            int(self.open_bytes), self.open_sensors, self.in_flight_events, int(self.sealed_bytes)
        )
