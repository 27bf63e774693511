"""The smallest Metaflow flow that reads its batches, writes an output and creates its result."""

import json

from metaflow import FlowSpec, step

from flows.mixin import BatchFlow


class CrashFlow(BatchFlow, FlowSpec):
    @step
    def start(self) -> None:
        self.samples = sum(len(batch.times_ns) for batch in self.batches())
        self.next(self.end)

    @step
    def end(self) -> None:
        self.outputs().write("samples.json", json.dumps(self.samples).encode())
        self.finish(samples=self.samples)


if __name__ == "__main__":
    CrashFlow()
