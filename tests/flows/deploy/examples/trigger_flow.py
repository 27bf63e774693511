"""A flow that is started by an event of Argo Events."""

from metaflow import FlowSpec, step, trigger


@trigger(event="batch_ready")
class TriggerFlow(FlowSpec):
    """Two steps."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


if __name__ == "__main__":
    TriggerFlow()
