"""A flow on the test cluster that runs until a test tells it how to end, and launchers of it.

The flow is one pod that asks a server of the test for its exit code, and waits for the answer.
The launchers are an account that has the rights that operators are told to give, and no others.
"""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from batching.adapters.argo.api import Api
from batching.adapters.argo.config import connect
from batching.adapters.argo.launcher import ArgoLauncher
from batching.adapters.argo.workflow import Pages
from batching.errors import LauncherBusy, LauncherUnavailable
from batching.metrics_argo import ArgoMetrics
from batching.ports import RunRequest
from tests.batching.adapters.local_stage import when
from tests.cluster.cluster import Cluster
from tests.cluster.place import API, NODE_ADDRESS
from tests.cluster.room import RBAC, binding

STORE, TEMPLATE, ACCOUNT = "0123456789abcdef", "plainflow", "headrace"
RULES = [
    {
        "apiGroups": ["argoproj.io"],
        "resources": ["workflows"],
        "verbs": ["create", "get", "list", "watch"],
    },
    {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get"]},
]
ASK = (
    'code=$(/bin/busybox wget -q -O - --header "Run: $RUN" "$0") || exit 99; '
    'echo "hello from $0"; exit "$code"'
)


class Codes:
    """Tells each run its exit code, once the test has said it, and takes note of who asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.runs: dict[str, str] = {}
        self._codes: dict[str, int] = {}
        self._all: int | None = None
        self._said = threading.Condition()
        self._over = False
        codes = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.strip("/")
                codes.runs[name] = self.headers["Run"]
                codes.asked[name] += 1
                body = str(codes.wait(name)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((NODE_ADDRESS, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait(self, name: str) -> int:
        with self._said:
            self._said.wait_for(lambda: self._code(name) is not None or self._over)
            code = self._code(name)
            return 98 if code is None else code

    def _code(self, name: str) -> int | None:
        return self._codes.get(name, self._all)

    def answer_all(self, code: int | None) -> None:
        """Tell every run of which nothing else is said, at once; None: let them wait."""
        with self._said:
            self._all = code
            self._said.notify_all()

    def say(self, name: str, code: int) -> None:
        with self._said:
            self._codes[name] = code
            self._said.notify_all()

    def close(self) -> None:
        with self._said:
            self._over = True
            self._said.notify_all()
        self._server.shutdown()
        self._server.server_close()


class ArgoStage:
    """A namespace with a WorkflowTemplate, an account for launchers, and its kubeconfig."""

    flow_name = TEMPLATE

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster, self.namespace, self.folder = cluster, namespace, folder
        self.codes = Codes()
        self.registry = CollectorRegistry()
        self.metrics = ArgoMetrics(self.registry)
        self.launchers: list[ArgoLauncher] = []
        self.create(self._template(), *account(namespace, ACCOUNT, RULES))
        self.token = cluster.token(namespace, ACCOUNT)

    def create(self, *objects: Any) -> None:
        """Create objects as administrator."""
        self.cluster.create(*objects)

    def kubectl(self, *words: str, given: object = None) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *words, given=given)

    def _template(self) -> dict[str, Any]:
        container = {
            "image": "localhost/pause:latest",
            "imagePullPolicy": "Never",
            "command": ["/bin/busybox", "sh", "-c", ASK],
            "args": [f"http://{NODE_ADDRESS}:{self.codes.port}/{{{{workflow.name}}}}"],
            "env": [{"name": "RUN", "value": "{{workflow.parameters.run}}"}],
        }
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTemplate",
            "metadata": {"name": TEMPLATE, "namespace": self.namespace},
            "spec": {
                "serviceAccountName": "flow-runner",
                "entrypoint": "only",
                "arguments": {"parameters": [{"name": "run", "value": ""}]},
                "templates": [{"name": "only", "container": container}],
            },
        }

    def kubeconfig(self, server: str = API, token: str | None = None) -> Path:
        """Write a kubeconfig of the launchers' account."""
        made = {"server": server}
        if server.startswith("https:"):
            made["certificate-authority"] = str(self.cluster.authority)
        plain = {
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": made}],
            "users": [{"name": "here", "user": {"token": token or self.token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        }
        path = self.folder / f"kubeconfig-{len(list(self.folder.glob('kubeconfig-*')))}"
        path.write_text(json.dumps(plain))
        return path

    def api(self, server: str = API, token: str | None = None, **settings: Any) -> Api:
        client = connect(self.kubeconfig(server, token))
        return Api(client, self.namespace, self.metrics, **settings)

    def launcher(self, api: Api | None = None, store: str = STORE) -> ArgoLauncher:
        """Make a launcher that follows; to be called in a running loop."""
        made = ArgoLauncher(
            self.api() if api is None else api,
            store,
            {"job": TEMPLATE, "other": "typo"},
            self.metrics,
            pages=Pages(argo="https://argo.example"),
        )
        made.open()
        self.launchers.append(made)
        return made

    def request(self, name: str, *, attempt: int = 1, flow: str = "PlainFlow") -> RunRequest:
        job = "job" if flow == "PlainFlow" else "other"
        uri = "https://store.example/store/runs/job/000000000007.json"
        return RunRequest(name, job, 7, attempt, flow, uri, {"0": (0, 2)})

    def end(self, name: str, code: int = 0) -> None:
        self.codes.say(name, code)

    def starts(self, name: str) -> list[int]:
        return list(range(self.codes.asked[name]))

    async def begun(self, name: str) -> None:
        await when(lambda: self.codes.asked[name], 90)

    def kill(self, name: str) -> None:
        self.cluster.kill_container(self.namespace, self.pod(name), "main")

    def pod(self, name: str) -> str:
        """Name the one pod of a Workflow."""
        of_it = ("--selector", f"workflows.argoproj.io/workflow={name}")
        (found,) = self.kubectl("get", "pods", *of_it, "--output", "name").split()
        return found.removeprefix("pod/")

    def remove_flow(self) -> None:
        self.kubectl("delete", "workflowtemplate", TEMPLATE)

    def bring_flow_back(self) -> None:
        self.create(self._template())

    def close(self) -> None:
        self.codes.close()

    def workflows(self) -> list[str]:
        found = json.loads(self.kubectl("get", "workflows", "--output", "json"))
        return sorted(each["metadata"]["name"] for each in found["items"])

    def count(self, name: str, **labels: str) -> float:
        """Give a metric's value, 0 where there is none."""
        return self.registry.get_sample_value(f"headrace_argo_{name}", labels) or 0.0


async def followed(launcher: ArgoLauncher) -> None:
    """Wait until a launcher is told of every change."""
    await when(lambda: launcher._follower.follows)


async def patiently(launcher: ArgoLauncher, request: RunRequest) -> bool:
    """Start a run as the dispatcher does: again, as long as what is in the way may pass."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await launcher.start(request)
            except (LauncherBusy, LauncherUnavailable):
                await asyncio.sleep(0.2)


def account(namespace: str, name: str, rules: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give a service account with rights in its namespace."""
    where = {"namespace": namespace, "name": name}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": where}
    yield {**RBAC, "kind": "Role", "metadata": where, "rules": rules}
    yield binding(where, "Role", name)
