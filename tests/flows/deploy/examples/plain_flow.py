"""An ordinary flow, which knows nothing of Headrace."""

from metaflow import FlowSpec, Parameter, schedule, step


@schedule(cron="15 6 ? * MON-FRI *", timezone="Europe/Helsinki")
class PlainFlow(FlowSpec):
    """Two steps."""

    depth = Parameter("depth", default=3)

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


if __name__ == "__main__":
    PlainFlow()
