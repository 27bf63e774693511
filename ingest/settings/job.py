"""A job: a flow that is run on every batch of some streams, and how its runs go."""

from typing import Literal

from pydantic import Field

from batching.runs.jobs import Job as PlainJob
from batching.runs.jobs import template
from ingest.settings.argo import Template
from ingest.settings.kinds import Bytes, Count, Part, Priority, Text, Texts, Wait, Zone
from ingest.units import Duration, Size

AT_MOST = 200, Size(2**30)
SCHEDULED_AT_MOST = 20_000, Size(100 * 2**30)  # a moment has one run, where that can be


class AtMost(Part):
    """How much one run covers at most, or one manifest more."""

    batches: Count | None = Field(
        default=None, description="Batches; 200 if not set, 20,000 where the job has a schedule."
    )
    bytes: Bytes | None = Field(
        default=None,
        description="Bytes of them; 1 GiB if not set, 100 GiB where the job has a schedule.",
    )


class Run(Part):
    """A flow, and when and how its runs start."""

    flow: Text = Field(
        description="Class of the flow; its file stands in `flows`, or it is deployed on Argo."
    )
    launcher: Literal["local", "argo"] = Field(
        default="local", description="Who starts runs: this machine, or Argo Workflows."
    )
    template: Template | None = Field(
        default=None,
        description="WorkflowTemplate of the flow; the flow's name in lower case if not set.",
    )
    after: Wait = Field(
        default=Duration(2), description="Wait for more batches before a run starts."
    )
    at_most: AtMost = Field(default=AtMost(), description="How much one run covers.")
    in_flight: Count = Field(default=50, description="Runs that go on at once.")
    attempts: Count = Field(default=3, description="Attempts before a run has failed for good.")
    backoff: Wait = Field(
        default=Duration(10), description="Wait before the second attempt; doubles, up to 10 min."
    )
    starts_per_minute: Count | None = Field(
        default=None, description="Runs that begin in a minute at most, attempts not counted."
    )
    priority: Priority = Field(
        default=0,
        description="Where not all may start (`local_runs`, Argo's parallelism), more comes first.",
    )
    schedule: Text | None = Field(
        default=None,
        description="Cron expression: a run at each of its moments, over all since the last one.",
    )
    zone: Zone = Field(default="UTC", description="Time zone of the schedule.")
    start: Literal["earliest", "now"] = Field(
        default="earliest",
        description="Where a new job begins: with all batches of the store, or with new ones.",
    )

    @property
    def most(self) -> tuple[int, Size]:
        """Give how many batches and bytes one run covers at most, or one manifest more."""
        batches, size = SCHEDULED_AT_MOST if self.schedule else AT_MOST
        return self.at_most.batches or batches, self.at_most.bytes or size

    @property
    def deployed(self) -> str:
        """Give the WorkflowTemplate of the flow."""
        return self.template or template(self.flow)

    def job(self, name: str, over: tuple[str, ...]) -> PlainJob:
        """Give what the dispatcher takes."""
        return PlainJob(
            name=name,
            flow=self.flow,
            over=over,
            start=self.start,
            after_ns=self.after.ns,
            at_most_batches=self.most[0],
            at_most_bytes=int(self.most[1]),
            in_flight=self.in_flight,
            attempts=self.attempts,
            backoff_seconds=float(self.backoff),
            starts_per_minute=self.starts_per_minute,
            priority=self.priority,
            schedule=self.schedule,
            zone=self.zone,
        )


class Job(Run):
    """A flow over one or more streams."""

    over: Texts = Field(description="Streams whose batches it is run on.")
