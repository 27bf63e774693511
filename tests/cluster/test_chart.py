"""The images and the chart on the real cluster: the service as a pod that meets `restricted`."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import chart, needs
from tests.cluster.chart import Release
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import RESTRICTED
from tests.cluster.place import ClusterError

PATIENCE_SECONDS = 120.0
CONFIG = """\
source: {embedded: {partitions: 2}}
streams:
  motion:
    decode: {format: json, time: {field: t, unit: ms}, channels: [ax, ay, az, wx, wy, wz]}
    seal: {max_samples: 2_000, max_age: 3 s}
"""
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def release(cluster: Cluster, namespace: str) -> Iterator[Release]:
    """Give what can be installed in a namespace that refuses pods that are not restricted."""
    if not chart.INGEST.built and (lacking := needs.to_build()):
        pytest.skip("no images: " + "; ".join(lacking))
    chart.load(cluster, chart.INGEST)
    made = Release(cluster, namespace)
    made.kubectl("label", "namespace", namespace, RESTRICTED)
    yield made
    made.remove()


def install(
    release: Release, tmp_path: Path, config: str = CONFIG
) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "headrace.yaml"
    path.write_text(config)
    return release.install(path, data={"allowLoss": True})


def test_the_chart_installs_a_service_that_accounts_for_each_event(
    release: Release, tmp_path: Path
) -> None:
    done = install(release, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # senders look for the embedded hub in the folder that a laptop has
    there = "cd /tmp && ln -sfn /var/lib/headrace headrace-data"
    send = "headrace send --events 300 --rate 100 --quiet --log senders.jsonl"
    release.inside("sh", "-c", f"{there} && {send}")
    verify = ["headrace", "verify", "--against", "/tmp/senders.jsonl"]  # noqa: S108 in the pod
    said, deadline = "", time.monotonic() + PATIENCE_SECONDS
    while "complete:" not in said:
        try:
            said = release.inside(*verify)
        except ClusterError:  # batches are open
            assert time.monotonic() < deadline
            time.sleep(2)
    assert "0 missing, 0 twice" in said


def test_wrong_settings_stop_an_upgrade_before_old_pods_stop(
    release: Release, tmp_path: Path
) -> None:
    assert install(release, tmp_path).returncode == 0
    (before,) = release.pods()
    done = install(release, tmp_path, CONFIG.replace("max_age", "max_aeg"))
    assert done.returncode != 0
    (after,) = release.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "max_aeg" in release.kubectl("logs", "job/headrace-check")


def test_a_pod_that_is_told_to_stop_is_done_within_its_time(
    release: Release, tmp_path: Path
) -> None:
    assert install(release, tmp_path).returncode == 0
    (pod,) = release.pods()
    name = pod["metadata"]["name"]
    with subprocess.Popen(
        release.cluster.words_inside(
            ["kubectl", "-n", release.namespace, "logs", "--follow", name]
        ),
        stdout=subprocess.PIPE,
        text=True,
        env=release.cluster.environment(),
    ) as following:
        release.kubectl("delete", "pod", name, "--wait=true")
        said, _ = following.communicate(timeout=60)
    stopped = [line for line in said.splitlines() if '"service stopped"' in line]
    assert stopped, said[-2_000:]
    assert json.loads(stopped[0])["finished"] is True
