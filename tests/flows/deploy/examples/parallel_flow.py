"""A flow whose step runs on several machines at once, which needs JobSets."""

from typing import Any

from metaflow import FlowSpec, kubernetes, parallel, project, step


@project(name="plant")
class ParallelFlow(FlowSpec):
    """A gang of two."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.gang, num_parallel=2)

    @kubernetes
    @parallel  # type: ignore[untyped-decorator]
    @step
    def gang(self) -> None:
        """Work together."""
        self.next(self.join)

    @step
    def join(self, inputs: Any) -> None:
        """Come back."""
        del inputs
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


if __name__ == "__main__":
    ParallelFlow()
