"""A job: a flow that is run on every batch of some streams, and how its runs go."""

from typing import Literal

from pydantic import Field

from batching.runs.jobs import Job as PlainJob
from batching.runs.jobs import template
from ingest.settings.argo import Template
from ingest.settings.kinds import Bytes, Count, Later, Part, Text, Texts, Wait
from ingest.units import Duration, Size


class AtMost(Part):
    """How much one run covers at most, or one manifest more."""

    batches: Count = Field(default=200, description="Batches.")
    bytes: Bytes = Field(default=Size(2**30), description="Bytes of them.")


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
    start: Literal["earliest", "now"] = Field(
        default="earliest",
        description="Where a new job begins: with all batches of the store, or with new ones.",
    )

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
            at_most_batches=self.at_most.batches,
            at_most_bytes=int(self.at_most.bytes),
            in_flight=self.in_flight,
            attempts=self.attempts,
            backoff_seconds=float(self.backoff),
        )


class Job(Run):
    """A flow over one or more streams."""

    over: Texts = Field(description="Streams whose batches it is run on.")
    schedule: Later = None
    zone: Later = None
