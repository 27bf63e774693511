"""The images and the chart on the real cluster: the service as a pod that meets `restricted`."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images, needs
from tests.cluster.cluster import Cluster
from tests.cluster.place import HERE, ClusterError, home
from tests.cluster.programs import CLI

ROOT = HERE.parents[1]
CHART = ROOT / "helm" / "headrace"
INGEST, FLOWS = "localhost/headrace/ingest:latest", "localhost/headrace/flows:latest"
PATIENCE_SECONDS = 120.0
CONFIG = """\
source: {embedded: {partitions: 2}}
streams:
  motion:
    decode: {format: json, time: {field: t, unit: ms}, channels: [ax, ay, az, wx, wy, wz]}
    seal: {max_samples: 2_000, max_age: 3 s}
"""
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    """Build both images, with wheels that are checked by their hashes twice; load the service's."""
    if lacking := needs.to_build():
        pytest.skip("no images: " + "; ".join(lacking))
    subprocess.run([ROOT / "containers" / "wheels.sh"], check=True)
    for target, tag in (("flows", FLOWS), ("ingest", INGEST)):
        archive, arguments = home() / f"headrace-{target}.tar", {"BASE": images.base()}
        images.build(ROOT, tag, archive, target=target, arguments=arguments)
    cluster.load(home() / "headrace-ingest.tar")
    return INGEST


@pytest.fixture
def restricted(cluster: Cluster, image: str, namespace: str) -> Iterator[str]:
    """Give a namespace that refuses pods that are not restricted."""
    assert image == INGEST
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, label)
    yield namespace
    helm(cluster, namespace, "uninstall", "headrace", "--ignore-not-found")


def helm(cluster: Cluster, namespace: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(CLI.folder / "helm"), "--namespace", namespace, *words]
    return subprocess.run(
        cluster.words_inside(command),
        check=False,
        capture_output=True,
        text=True,
        env=cluster.environment(),
    )


def install(
    cluster: Cluster, namespace: str, tmp_path: Path, config: str
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "headrace.yaml"
    path.write_text(config)
    repository = INGEST.removesuffix(":latest")
    words = ["upgrade", "--install", "headrace", str(CHART), "--wait", "--timeout", "180s"]
    words += ["--set-file", f"config={path}", "--set", "data.allowLoss=true"]
    words += ["--set", f"image.repository={repository},image.tag=latest,image.pullPolicy=Never"]
    return helm(cluster, namespace, *words)


def inside(cluster: Cluster, namespace: str, *command: str) -> str:
    return cluster.kubectl("-n", namespace, "exec", "deployment/headrace", "--", *command)


def pods(cluster: Cluster, namespace: str) -> list[Any]:
    listed = cluster.get("-n", namespace, "pods", "-l", "app.kubernetes.io/component=ingest")
    return list(listed["items"])


def test_the_chart_installs_a_service_that_accounts_for_each_event(
    cluster: Cluster, restricted: str, tmp_path: Path
) -> None:
    done = install(cluster, restricted, tmp_path, CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr
    # senders look for the embedded hub in the folder that a laptop has
    there = "cd /tmp && ln -sfn /var/lib/headrace headrace-data"
    send = "headrace send --events 300 --rate 100 --quiet --log senders.jsonl"
    inside(cluster, restricted, "sh", "-c", f"{there} && {send}")
    verify = ["headrace", "verify", "--against", "/tmp/senders.jsonl"]  # noqa: S108 in the pod
    said, deadline = "", time.monotonic() + PATIENCE_SECONDS
    while "complete:" not in said:
        try:
            said = inside(cluster, restricted, *verify)
        except ClusterError:  # batches are open
            assert time.monotonic() < deadline
            time.sleep(2)
    assert "0 missing, 0 twice" in said


def test_wrong_settings_stop_an_upgrade_before_old_pods_stop(
    cluster: Cluster, restricted: str, tmp_path: Path
) -> None:
    assert install(cluster, restricted, tmp_path, CONFIG).returncode == 0
    (before,) = pods(cluster, restricted)
    done = install(cluster, restricted, tmp_path, CONFIG.replace("max_age", "max_aeg"))
    assert done.returncode != 0
    (after,) = pods(cluster, restricted)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    said = cluster.kubectl("-n", restricted, "logs", "job/headrace-check")
    assert "max_aeg" in said


def test_a_pod_that_is_told_to_stop_is_done_within_its_time(
    cluster: Cluster, restricted: str, tmp_path: Path
) -> None:
    assert install(cluster, restricted, tmp_path, CONFIG).returncode == 0
    (pod,) = pods(cluster, restricted)
    name = pod["metadata"]["name"]
    with subprocess.Popen(
        cluster.words_inside(["kubectl", "-n", restricted, "logs", "--follow", name]),
        stdout=subprocess.PIPE,
        text=True,
        env=cluster.environment(),
    ) as following:
        cluster.kubectl("-n", restricted, "delete", "pod", name, "--wait=true")
        said, _ = following.communicate(timeout=60)
    stopped = [line for line in said.splitlines() if '"service stopped"' in line]
    assert stopped, said[-2_000:]
    assert json.loads(stopped[0])["finished"] is True
