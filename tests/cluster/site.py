"""A whole site on the test cluster: the service is a pod of the chart, all around it is real.

The hub and Azurite run in the cluster's network, which pods reach; senders, `deploy` and `verify`
are the command, as a person types it. The pod has an account of its own and the rights that the
chart gives it, and signs in to the store by a managed identity's tokens.
"""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import chart
from tests.cluster.chart import Release
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import AUTHORITY_IN_PODS, SECRET, Lake, running_lake
from tests.cluster.place import NODE_ADDRESS, ClusterError

HUB, PARTITIONS = "telemetry", 2
PREFIX = "site"  # of the store in its container
FAILPOINTS = "HEADRACE_FAILPOINTS"
CONNECTION = "HEADRACE_EVENT_HUBS_CONNECTION"
PATIENCE_SECONDS = 180.0
COMPLETE, PENDING = 0, 3  # what `headrace verify` ends with
CONFIG = """\
source: {{event_hubs: {{hub: {hub}}}}}
blobs: {{azure: {{account: {account}, endpoint: "{endpoint}", container: {container}, prefix: {prefix}}}}}
argo: {{namespace: {namespace}}}
ownership: {{expiry: 4 s, interval: 1 s}}
streams:
  motion:
    decode: {{format: json, time: {{field: t, unit: ms}}, channels: [ax, ay, az, wx, wy, wz]}}
    seal: {{max_samples: 2_000, max_age: 3 s}}
    run: {run}
"""  # noqa: E501


@dataclass
class Site:
    """One namespace with a service, and everything that it works on."""

    release: Release
    folder: Path
    lake: Lake
    connection: str
    seeds: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def namespace(self) -> str:
        return self.release.namespace

    @property
    def config(self) -> Path:
        return self.folder / "headrace.yaml"

    @property
    def senders(self) -> Path:
        return self.folder / "senders.jsonl"

    def write_config(self, **run: Any) -> None:
        """Write the one file, for the pod and for commands alike."""
        endpoint, _, container = self.lake.url.rpartition("/")
        text = CONFIG.format(
            hub=HUB,
            account=endpoint.rpartition("/")[2],
            endpoint=endpoint,
            container=container,
            prefix=PREFIX,
            namespace=self.namespace,
            run=json.dumps({"launcher": "argo", **run}),
        )
        self.config.write_text(text)

    def install(self, *, wait: bool = True) -> None:
        """Install the chart; where it may not be ready yet, it is not waited for."""
        secrets = {
            CONNECTION: {"secret": "hub", "key": "connection"},
            # read whenever the container starts: it can change between two of its lives
            FAILPOINTS: {"secret": "failpoints", "key": "plan"},
            **{name: {"secret": SECRET, "key": name} for name in self.lake.variables},
        }
        done = self.release.install(
            self.config,
            wait=wait,
            secrets={"env": secrets},
            env={"SSL_CERT_FILE": AUTHORITY_IN_PODS},
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def secret(self, name: str, **values: str) -> None:
        """Create or replace a Secret."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": self.namespace, "name": name},
            "stringData": values,
        }
        self.release.kubectl("apply", "--filename", "-", given=body)

    def fail_at(self, plan: str) -> None:
        """Say at which failpoints the container's next life ends; an empty text: at none."""
        self.secret("failpoints", plan=plan)

    def headrace(self, *words: str | Path, check: bool = True, **more: str) -> str:
        """Run the command in the cluster's network, signed in like the pod; gives what it said."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HEADRACE_", "METAFLOW_")) and "proxy" not in name.lower()
        }
        authority = str(self.release.cluster.authority)
        done = subprocess.run(
            [sys.executable, "-m", "ingest", *map(str, words)],
            cwd=self.folder,
            env={
                **kept,
                "PYTHONPATH": str(chart.ROOT),
                "HOME": str(self.folder),
                CONNECTION: self.connection,
                **self.lake.variables,
                "SSL_CERT_FILE": authority,
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"headrace {words[0]}: {said}"
        return said

    def send(self, events: int, *, rate: float = 200.0, sensors: int = 6) -> None:
        """Send what virtual sensors send, from the shipped recording of smartwatches."""
        words = ["--events", events, "--rate", rate, "--sensors", sensors, "--quiet"]
        words += ["--to", self.connection, "--hub", HUB, "--log", self.senders]
        self.headrace("send", *map(str, words), "--seed", str(next(self.seeds)))

    def complete(self, patience_seconds: float = PATIENCE_SECONDS) -> str:
        """Run `headrace verify --against` until it calls all complete; gives what it said."""
        words = ["verify", "--config", str(self.config), "--against", str(self.senders)]
        deadline = time.monotonic() + patience_seconds
        said = ""
        while time.monotonic() < deadline:
            said = self.headrace(*words, check=False)
            if "complete:" in said:
                return said
            assert "wrong:" not in said, said
            time.sleep(1)
        raise AssertionError(f"{said}\n{self.told()}")

    def told(self) -> str:
        """Give the last words of the service, of its life before this one, and of its pod."""
        words = ("logs", f"deployment/{chart.NAME}", "--tail=40")
        found = []
        for more in ((), ("--previous",)):
            with contextlib.suppress(ClusterError):
                found.append(self.release.kubectl(*words, *more))
        found.append(self.release.kubectl("get", "pods,workflows", "--output", "wide"))
        return "\n".join(found)

    def workflows(self) -> list[Any]:
        """Give all Workflows that are there."""
        found = self.release.cluster.get("--namespace", self.namespace, "workflows")
        return list(found["items"])

    def ended(self, seconds: float = 120) -> list[Any]:
        """Wait for the end of all Workflows, which comes a moment after their results."""
        deadline = time.monotonic() + seconds
        while True:
            made = self.workflows()
            phases = [each.get("status", {}).get("phase", "") for each in made]
            if not {"", "Pending", "Running"}.intersection(phases):
                return made
            assert time.monotonic() < deadline, self.told()
            time.sleep(1)

    def objects(self, kind: str) -> list[str]:
        """Name the store's objects of a kind, such as `results`, without the store's own folder."""
        found = self.lake.container.list_blob_names(name_starts_with=f"{PREFIX}/")
        names = (name.split("/", 2)[2] for name in found if name.count("/") > 1)
        return sorted(name for name in names if name.startswith(f"{kind}/"))

    def read(self, name: str) -> bytes:
        """Read one of the store's objects."""
        found = self.lake.container.list_blob_names(name_starts_with=f"{PREFIX}/")
        (whole,) = (each for each in found if each.endswith(f"/{name}"))
        return bytes(self.lake.container.download_blob(whole).readall())

    def restarts(self) -> int:
        """Count how often the container of the service's one pod was started again."""
        pods = self.release.pods()
        return sum(s["restartCount"] for pod in pods for s in pod["status"]["containerStatuses"])


@contextlib.contextmanager
def running_site(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Site]:
    """Start hub and store, load the service's image; the chart is up to the test."""
    chart.load(cluster, chart.INGEST)
    release = Release(cluster, namespace)
    with running_lake(cluster, namespace, folder) as lake, _running_hub(folder) as connection:
        made = Site(release, folder, lake, connection)
        made.secret("hub", connection=connection)
        made.fail_at("")
        try:
            yield made
        finally:
            release.remove()


@contextlib.contextmanager
def _running_hub(folder: Path) -> Iterator[str]:
    """Run `headrace hub` on the node's address; give its connection string."""
    ready = folder / "hub.json"
    words = ["hub", "--host", NODE_ADDRESS, "--port", "0", "--hub", f"{HUB}:{PARTITIONS}"]
    words += ["--data", str(folder / "hub"), "--ready-file", str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(chart.ROOT)}
    with (folder / "hub.log").open("wb") as log:
        command = [sys.executable, "-m", "ingest", *words]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, (folder / "hub.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield str(json.loads(ready.read_text())["connection_string"])
    finally:
        process.terminate()
        process.wait(30)
