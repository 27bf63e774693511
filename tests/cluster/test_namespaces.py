"""Namespaces of their own: what is in there is not outside, and nothing of it is left."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import needs
from tests.cluster.namespaces import HIERARCHIES, Namespaces
from tests.cluster.place import INSIDE, NODE_ADDRESS, ClusterError

CGROUP = f"headrace-test-{os.getpid()}"


@pytest.fixture
def namespaces(tmp_path: Path) -> Iterator[Namespaces]:
    if lacking := needs.to_run():
        pytest.skip("; ".join(lacking))
    run, logs = tmp_path / "run", tmp_path / "logs"
    run.mkdir()
    logs.mkdir()
    inside = Namespaces(run, logs, CGROUP)
    inside.open()
    yield inside
    inside.close()


def outside() -> tuple[list[str], list[str], list[Path]]:
    """Give what a machine sees of it: network devices, mounts, cgroups."""
    devices = [name for _, name in socket.if_nameindex()]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    ours = [line for line in mounts if str(INSIDE) in line]
    return devices, ours, list(HIERARCHIES.glob(f"**/{CGROUP}"))


def test_a_machine_is_as_it_was(namespaces: Namespaces) -> None:
    namespaces.start("sleeps", ["sleep", "1000"], {})
    pid = namespaces.first
    devices, mounts, cgroups = outside()
    assert "pods" not in devices
    assert mounts == []
    assert cgroups
    assert str(INSIDE) in namespaces.call("cat", "/proc/1/mounts")
    namespaces.close()
    assert outside() == (devices, [], [])
    assert not namespaces.run.exists()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ClusterError, match="is down"):
        namespaces.start("late", ["true"], {})


def test_only_this_thread_and_only_meanwhile_is_in_the_network(namespaces: Namespaces) -> None:
    own = Path("/proc/thread-self/ns/net").readlink()
    with namespaces.network(), socket.create_server((NODE_ADDRESS, 443)):
        assert [name for _, name in socket.if_nameindex()] == ["lo", "pods"]
    with pytest.raises(ClusterError, match="in there"), namespaces.network():
        raise ClusterError("in there")
    assert Path("/proc/thread-self/ns/net").readlink() == own


def test_a_program_ends_alone_and_starts_again(namespaces: Namespaces) -> None:
    for name in ("one", "two"):
        namespaces.start(name, ["sh", "-c", f"echo {name} starts; exec sleep 1000"], {})
    assert namespaces.running() == ["one", "two"]
    namespaces.stop("one", signal.SIGKILL)
    assert namespaces.running() == ["two"]
    with pytest.raises(ClusterError, match="one does not run; running: two"):
        namespaces.stop("one", signal.SIGTERM)
    namespaces.start("one", ["sleep", "1000"], {})
    assert namespaces.running() == ["one", "two"]
    assert (namespaces.logs / "one.log").read_text() == "one starts\n"
    with pytest.raises(ClusterError, match="one runs already"):
        namespaces.start("one", ["sleep", "1000"], {})
