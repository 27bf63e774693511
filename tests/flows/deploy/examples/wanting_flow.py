"""A flow with parameters that a job cannot give."""

from metaflow import FlowSpec, Parameter, step


class WantingFlow(FlowSpec):
    """Two steps."""

    plant = Parameter("plant", required=True)
    run_number = Parameter("run", default=7)

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


if __name__ == "__main__":
    WantingFlow()
