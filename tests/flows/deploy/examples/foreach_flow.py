"""A flow that divides its batches among branches."""

from typing import Any

from metaflow import FlowSpec, kubernetes, retry, step

from flows.mixin import BatchFlow


class ForeachFlow(BatchFlow, FlowSpec):
    """Count samples, a share of the sensors in each branch."""

    @step
    def start(self) -> None:
        """Divide."""
        self.shares = self.groups(width=4)
        self.next(self.count, foreach="shares")

    @kubernetes(cpu=2, memory=512, image="example.net/own:3", image_pull_secrets=["pull"])
    @retry(times=4, minutes_between_retries=3)
    @step
    def count(self) -> None:
        """Count."""
        self.samples = sum(len(batch.times_ns) for batch in self.batches(self.input))
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Add up."""
        self.samples = sum(branch.samples for branch in inputs)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Write the result."""
        self.finish(samples=self.samples)


if __name__ == "__main__":
    ForeachFlow()
