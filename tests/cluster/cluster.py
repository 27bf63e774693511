"""A running cluster, as tests and the command line hold it: up, kubectl, images, tokens, down."""

import json
import os
import shutil
import signal
import ssl
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.build import PROGRAMS
from tests.cluster.images import ARCHIVE, ARGOEXEC, PAUSE
from tests.cluster.namespaces import Namespaces, run, wait_for
from tests.cluster.node import lay_out, programs
from tests.cluster.parts import key_of
from tests.cluster.place import HERE, INSIDE, NODE, ClusterError, alone, home
from tests.cluster.programs import ARGO_PROGRAMS, DNS, KUBERNETES

START_SECONDS = 120.0  # for any one thing, on a machine that is busy
OF_THE_NODE = (KUBERNETES, ARGO_PROGRAMS, DNS, PAUSE, ARGOEXEC)
MANIFESTS = HERE / "manifests"
NO_PROXY = urllib.request.ProxyHandler({})
Tell = Callable[[str], None]


class Cluster:
    """One cluster of this machine; clusters of different names run side by side."""

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.logs = home() / "logs" / name
        self._run = home() / "run" / name
        # A kubelet removes what it finds in its cgroup and does not know: each has its own.
        cgroup = f"headrace-{name}-{zlib.crc32(str(self._run).encode()):08x}"
        self._namespaces = Namespaces(self._run, self.logs, cgroup)

    @property
    def is_up(self) -> bool:
        return self._namespaces.alive and (self._run / "ready").exists()

    def up(self, tell: Tell) -> bool:
        """Bring it up, and tell whether it was down; it is up once a pod can run.

        Raises:
            ClusterError: a part is not built, or a program did not start.
        """
        if lacking := [part for part in OF_THE_NODE if not part.built]:
            names = ", ".join(part.name for part in lacking)
            raise ClusterError(f"not built yet: {names}; python -m tests.cluster build")
        with alone(f"run-{self.name}"):
            if self.is_up:
                self._refuse_another_recipe()
                return False
            self._namespaces.close()  # what an interrupted start left
            try:
                self._start(tell)
            except BaseException:
                self._namespaces.close()
                raise
        return True

    def down(self) -> None:
        """End it and remove all but its logs; nothing happens when it is down."""
        with alone(f"run-{self.name}"):
            self._namespaces.close()

    def _start(self, tell: Tell) -> None:
        began = time.monotonic()

        def done(what: str) -> None:
            tell(f"{time.monotonic() - began:5.1f} s  {what}")

        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self._run.mkdir(parents=True)
        lay_out(self._run, self._namespaces.cgroup)
        self._namespaces.open()
        with ThreadPoolExecutor(2) as loading:
            for name in ("etcd", "kube-apiserver", "containerd"):
                self.start(name)
            images = self._load_first(loading)  # they unpack while the API server starts
            self._ready("https://127.0.0.1/readyz", "kube-apiserver")
            done("the API server is ready")
            for name in ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"):
                self.start(name)
            self._apply_ours()
            self.start("dns")
            self.start("workflow-controller")
            self._ready("http://127.0.0.1:6060/healthz", "workflow-controller")
            self._ready("http://127.0.0.1:8181/ready", "dns")
            done("Argo and the name server are ready")
            for image in images:
                image.result()
        done("the images are unpacked")
        for what, true in (
            (f"node/{NODE}", "create"),
            (f"node/{NODE}", "condition=Ready"),
            ("serviceaccount/default", "create"),
        ):
            self.kubectl("wait", what, f"--for={true}", _timeout(START_SECONDS))
        (self._run / "ready").write_text(_recipe())
        done("the node is ready")

    def _load_first(self, loading: ThreadPoolExecutor) -> list[Future[None]]:
        wait_for(START_SECONDS, "containerd", lambda: _works(self._ctr, "version"))
        return [loading.submit(self.load, part.folder / ARCHIVE) for part in (PAUSE, ARGOEXEC)]

    def _apply_ours(self) -> None:
        server_side = ("apply", "--server-side", "--filename")
        self.kubectl(*server_side, MANIFESTS / "dns.yaml")
        self.kubectl(*server_side, ARGO_PROGRAMS.folder / "crds")
        # Fails at once for a kind that has no conditions yet, hence again and again.
        served = ("wait", "crd", "--all", "--for=condition=Established", _timeout(START_SECONDS))
        wait_for(START_SECONDS, "Argo's kinds", lambda: _works(self.kubectl, *served))
        self.kubectl(*server_side, MANIFESTS / "argo.yaml")

    def _ready(self, url: str, name: str) -> None:
        """Wait until a program says that it is ready."""
        with self.network():
            wait_for(START_SECONDS, f"{name}, see {self.logs / name}.log", lambda: _answers(url))

    def _refuse_another_recipe(self) -> None:
        if (self._run / "ready").read_text() != _recipe():
            raise ClusterError(
                f"the cluster {self.name} that is up has other versions or images than this clone: "
                "python -m tests.cluster down, or choose another name"
            )

    def start(self, name: str) -> None:
        """Start one of the node's programs, at first or after `stop`."""
        program = programs().get(name)
        if program is None:
            raise ClusterError(f"no program {name}; there are: {', '.join(programs())}")
        self._namespaces.start(name, program.words, program.environment)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End one of the node's programs, to see what happens without it.

        After SIGTERM the API server waits a minute for its watches, as everywhere. Argo's
        controller loses a watch of its settings with it, and from then on turns in a circle,
        writes a gigabyte of log a minute (and no more than one, see `node.LOG_BYTES`) and heeds
        no SIGTERM: end it with the API server, by SIGKILL.
        """
        self._namespaces.stop(name, how)

    @property
    def of_tests(self) -> Path:
        """A file that is there if tests brought it up, so that the last of them takes it down."""
        return self._run / "of-tests"

    def running(self) -> list[str]:
        """Name the node's programs that run."""
        return self._namespaces.running()

    @contextmanager
    def network(self) -> Iterator[None]:
        """Put this thread, and what it starts meanwhile, into the cluster's network."""
        with self._namespaces.network():
            yield

    def environment(self) -> dict[str, str]:
        """Give the environment in which kubectl, helm and clients find the cluster."""
        folders = [str(part.folder) for part in PROGRAMS]
        return {
            **os.environ,
            "KUBECONFIG": str(self._run / "admin.kubeconfig"),
            "KUBECACHEDIR": str(self._run / "kubectl-cache"),
            "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
        }

    def words_inside(self, words: Sequence[str]) -> list[str]:
        """Give the command line that runs another in the cluster's network."""
        return ["nsenter", "--target", str(self._namespaces.first), "--net", "--", *words]

    def kubectl(self, *words: str | Path, given: object = None) -> str:
        """Run kubectl as administrator; `given` goes to `--filename -`. Gives what it printed.

        Raises:
            ClusterError: it failed; with what it said.
        """
        text = None if given is None else json.dumps(given)
        inside = self.words_inside(["kubectl", *map(str, words)])
        return run(inside, environment=self.environment(), given=text)

    def create(self, *objects: Any) -> None:
        """Create objects as administrator."""
        given = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("create", "--filename", "-", given=given)

    def get(self, *words: str) -> Any:
        """Give an object, or a list of them, as kubectl finds it."""
        return json.loads(self.kubectl("get", *words, "--output", "json"))

    def load(self, archive: Path) -> None:
        """Give the node an image from an archive, which `images.build` writes."""
        self._ctr("--namespace", "k8s.io", "images", "import", archive)

    def load_once(self, tag: str, archive: Path) -> None:
        """Give the node an image whose tag changes with its content, unless it has it."""
        with alone(f"load-{self.name}"):
            if tag not in self._ctr("--namespace", "k8s.io", "images", "list", "--quiet").split():
                self.load(archive)

    def kill_container(self, namespace: str, pod: str, container: str) -> None:
        """End a container by SIGKILL, from outside, as the kernel does that is out of memory."""
        states = self.get("pod", pod, "--namespace", namespace)["status"]["containerStatuses"]
        (found,) = (each["containerID"] for each in states if each["name"] == container)
        number = found.removeprefix("containerd://")
        self._ctr("--namespace", "k8s.io", "task", "kill", "--signal", "SIGKILL", number)

    def _ctr(self, *words: str | Path) -> str:
        return self._namespaces.call("ctr", "--address", INSIDE / "containerd.sock", *words)

    def token(self, namespace: str, account: str, *, seconds: int = 3600) -> str:
        """Give a token of a service account, as its pods have one."""
        lifetime = f"--duration={seconds}s"
        return self.kubectl("create", "token", account, "--namespace", namespace, lifetime).strip()

    @property
    def authority(self) -> Path:
        """Certificate to check the API server with; pods have it beside their token."""
        return self._run / "pki/ca.crt"

    def certificate(self) -> tuple[Path, Path]:
        """Give certificate and key for a server on the node's address that pods can trust."""
        return self._run / "pki/server.crt", self._run / "pki/server.key"


def _recipe() -> str:
    """Give a hash of all that a running cluster is made of."""
    files = [HERE / name for name in ("init.sh", "manifests", "node", "node.py")]
    return key_of(files, OF_THE_NODE)


def _works(call: Callable[..., str], *words: str) -> bool:
    try:
        call(*words)
    except ClusterError:
        return False
    return True


def _timeout(seconds: float) -> str:
    return f"--timeout={seconds:.0f}s"


def _answers(url: str) -> bool:
    """Tell whether a server in there answers well; who it is does not matter yet."""
    unchecked = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())  # noqa: S323
    try:
        urllib.request.build_opener(NO_PROXY, unchecked).open(url, timeout=5).close()
    except OSError:
        return False
    return True
