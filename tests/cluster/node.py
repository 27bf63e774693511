"""The node's programs: how each is called, who it is, and what it finds in the life's folder."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.certificates import Authority, kubeconfig
from tests.cluster.place import (
    API,
    API_ADDRESS,
    HERE,
    INSIDE,
    NODE,
    NODE_ADDRESS,
    POD_NETWORK,
    SERVICE_NETWORK,
)
from tests.cluster.programs import ARGO_PROGRAMS, DNS, KUBERNETES

LOG_BYTES = 2**30
ETCD = "http://127.0.0.1:2379"
PKI = INSIDE / "pki"
SERVED_AS = (
    *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1"),
    *(API_ADDRESS, NODE_ADDRESS),
)
# File, user, group: clients of the API server, each with a kubeconfig.
CLIENTS = (
    ("admin", "admin", "system:masters"),
    ("argo", "argo-controller", None),
    ("dns", "dns", None),
    ("kube-controller-manager", "system:kube-controller-manager", None),
    ("kube-proxy", "system:kube-proxy", None),
    ("kube-scheduler", "system:kube-scheduler", None),
)


@dataclass(frozen=True)
class Program:
    """A command line that can be run again after the program was ended."""

    words: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def lay_out(run: Path, cgroup: str) -> None:
    """Write keys, certificates, kubeconfigs and settings into the folder of a life."""
    pki = run / "pki"
    authority = Authority(pki)
    authority.key_pair("service-account")
    authority.issue("apiserver", "kube-apiserver", addresses=SERVED_AS)
    authority.issue("apiserver-to-kubelet", "kube-apiserver", group="system:masters")
    authority.issue("server", "server", addresses=(NODE_ADDRESS, "127.0.0.1", "localhost"))
    for name, user, group in CLIENTS:
        authority.issue(name, user, group=group)
    node_user = f"system:node:{NODE}"
    authority.issue("kubelet", node_user, group="system:nodes", addresses=(NODE, NODE_ADDRESS))
    for name in ("kubelet", *(name for name, _, _ in CLIENTS)):
        (run / f"{name}.kubeconfig").write_text(kubeconfig(pki, name, server=API))
    (run / "cni").mkdir()
    shutil.copy(HERE / "node/bridge.conflist", run / "cni")
    for name in ("containerd.toml", "Corefile"):
        shutil.copy(HERE / "node" / name, run)
    settings = (HERE / "node/kubelet.yaml").read_text()
    (run / "kubelet.yaml").write_text(settings.replace("@CGROUP@", cgroup))


def programs() -> dict[str, Program]:
    """Give the node's programs, by name, in the order in which they are started."""
    return {
        "etcd": _kube(
            "etcd",
            "--data-dir=/run/etcd",
            "--unsafe-no-fsync",
            *(f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380",
        ),
        "kube-apiserver": _api_server(),
        "containerd": Program(("containerd", "--config", INSIDE / "containerd.toml")),
        "kube-controller-manager": _kube(
            "kube-controller-manager",
            *(_kubeconfig("kube-controller-manager"), "--leader-elect=false"),
            "--bind-address=127.0.0.1",
            f"--service-account-private-key-file={PKI}/service-account.key",
            f"--root-ca-file={PKI}/ca.crt",
            "--use-service-account-credentials=true",
        ),
        "kube-scheduler": _kube(
            "kube-scheduler",
            *(_kubeconfig("kube-scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1"),
        ),
        "kubelet": _kube(
            "kubelet",
            *(f"--config={INSIDE}/kubelet.yaml", _kubeconfig("kubelet")),
            *(f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}"),
            f"--root-dir={INSIDE}/kubelet",
        ),
        "kube-proxy": _kube(
            "kube-proxy",
            *(_kubeconfig("kube-proxy"), f"--hostname-override={NODE}"),
            *("--proxy-mode=iptables", f"--cluster-cidr={POD_NETWORK}"),
            # Of these limits one is the whole machine's: zero leaves it alone.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ),
        "dns": Program((DNS.folder / "dns", "-conf", INSIDE / "Corefile")),
        "workflow-controller": Program(
            (
                *("prlimit", f"--fsize={LOG_BYTES}"),  # all it writes is its log; see Cluster.stop
                ARGO_PROGRAMS.folder / "workflow-controller",
                *("--kubeconfig", INSIDE / "argo.kubeconfig", "--namespace", "argo"),
                *("--executor-image", "localhost/argoexec:latest"),
                *("--executor-image-pull-policy", "Never"),
            ),
            # A step that ended counts when its workflow is looked at again: by default after 10 s.
            {"LEADER_ELECTION_DISABLE": "true", "DEFAULT_REQUEUE_TIME": "1s"},
        ),
    }


def _api_server() -> Program:
    return _kube(
        "kube-apiserver",
        *(f"--etcd-servers={ETCD}", f"--advertise-address={NODE_ADDRESS}"),
        *("--bind-address=0.0.0.0", "--secure-port=443"),
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI}/service-account.pub",
        f"--service-account-signing-key-file={PKI}/service-account.key",
        f"--kubelet-client-certificate={PKI}/apiserver-to-kubelet.crt",
        f"--kubelet-client-key={PKI}/apiserver-to-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    )


def _kube(name: str, *flags: str) -> Program:
    return Program((KUBERNETES.folder / "kube", name, *flags))


def _kubeconfig(name: str) -> str:
    return f"--kubeconfig={INSIDE}/{name}.kubeconfig"
