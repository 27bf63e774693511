"""A flow that costs next to nothing: one pod of busybox, and the rest of it in the test.

The pod asks the desk how to end, as tests of the launcher do. Before a good end the desk creates
the run's result, as the last step of a flow with the mixin does: create-only, whoever asks.
"""

import json
import threading
import time
from collections import Counter
from typing import Any

from azure.core.exceptions import ResourceExistsError

from batching import model, names
from tests.batching.adapters.argo_stage import ASK, Codes
from tests.cluster.deployed import Lake
from tests.cluster.place import NODE_ADDRESS

FLOW, TEMPLATE = "PlainFlow", "plainflow"
ACCOUNT = "headrace-flows"  # the chart makes it


class Desk(Codes):
    """Tells each pod its exit code, and creates the result of each run once."""

    def __init__(self, lake: Lake) -> None:
        self.effects: Counter[str] = Counter()  # results that were created, by record
        self.late: Counter[str] = Counter()  # attempts that came when the result was there
        self._container = lake.container
        self._writing = threading.Lock()
        super().__init__()

    def wait(self, name: str) -> int:
        """Wait for the exit code; the result is there before a good one is given."""
        code = super().wait(name)
        if code == 0:
            with self._writing:
                self._finish(json.loads(self.runs[name]))
        return code

    def _finish(self, record_uri: str) -> None:
        blob = record_uri.removeprefix(f"{self._container.url}/")
        root, _, record = blob.rpartition("/runs/")
        job, number = record.removesuffix(".json").split("/")
        n = int(number)
        k = 1
        while self._there(f"{root}/{names.attempt(job, n, k + 1)}"):
            k += 1
        result = model.Result(job, n, k, "flow", names.outputs(job, n, k), time.time_ns())
        try:
            body = model.dump(result)
            self._container.upload_blob(f"{root}/{names.result(job, n)}", body, overwrite=False)
        except ResourceExistsError:
            self.late[record_uri] += 1
        else:
            self.effects[record_uri] += 1

    def _there(self, blob: str) -> bool:
        return bool(self._container.get_blob_client(blob).exists())


def template(namespace: str, desk: Desk) -> dict[str, Any]:
    """Give the WorkflowTemplate whose pod asks the desk."""
    container = {
        "image": "localhost/pause:latest",
        "imagePullPolicy": "Never",
        "command": ["/bin/busybox", "sh", "-c", ASK],
        "args": [f"http://{NODE_ADDRESS}:{desk.port}/{{{{workflow.name}}}}"],
        "env": [{"name": "RUN", "value": "{{workflow.parameters.run}}"}],
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": TEMPLATE, "namespace": namespace},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "entrypoint": "only",
            "arguments": {"parameters": [{"name": "run", "value": ""}]},
            "templates": [{"name": "only", "container": container}],
        },
    }
