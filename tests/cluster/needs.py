"""What the machine must have, said before anything is tried."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.place import HERE, NODE

PACKAGES = HERE / "packages.txt"
GO = (1, 26)
# What is called, and the Debian package that brings it.
TO_RUN = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "containerd": "containerd",
    "ip": "iproute2",
    "iptables": "iptables",
    "kill": "procps",
    "nsenter": "util-linux",
    "pgrep": "procps",
    "prlimit": "util-linux",
    "runc": "runc",
    "unshare": "util-linux",
}
TO_BUILD = {
    "/bin/busybox": "busybox-static",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
}
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]


def to_run() -> list[str]:
    """Give what is missing to bring the cluster up, one sentence each."""
    if sys.platform != "linux":
        return [f"a Linux machine is needed, this is {sys.platform}"]
    if os.geteuid():
        return ["root is needed, for namespaces, mounts and cgroups"]
    return _lacking(TO_RUN) or [*_namespaces(), *_cgroups()]


def to_build() -> list[str]:
    """Give what is missing to build programs and images."""
    return [*_lacking(TO_BUILD), *_go()]


def _lacking(programs: dict[str, str]) -> list[str]:
    packages = {package for name, package in programs.items() if not shutil.which(name)}
    if not packages:
        return []
    where = "apt-get install --no-install-recommends $(cat tests/cluster/packages.txt)"
    return [f"Debian packages are missing: {', '.join(sorted(packages))}; {where}"]


def _namespaces() -> list[str]:
    """Try them: root of a container may lack the capabilities."""
    tried = subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True, text=True)
    said = tried.stderr.strip()
    return [f"this machine gives no network, mount and pid namespaces: {said}"] * (said != "")


def _cgroups() -> list[str]:
    known = {line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines()[1:]}
    lacking = {"cpu", "cpuacct", "cpuset", "memory", "pids"} - known
    return [f"the kernel of {NODE} has no cgroups of {', '.join(sorted(lacking))}"] * bool(lacking)


def _go() -> list[str]:
    if not shutil.which("go"):
        return [f"Go {'.'.join(map(str, GO))} or newer is needed, there is no program go"]
    said = subprocess.run(
        ["go", "env", "GOVERSION"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout.strip()
    version = tuple(int(number) for number in said.removeprefix("go").split(".")[:2])
    return [f"Go {'.'.join(map(str, GO))} or newer is needed, this is {said}"] * (version < GO)
