"""Each job gets the launcher that it names; a cluster that is away keeps nothing else waiting."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from batching.adapters.argo import follower as argo_follower
from batching.adapters.local_launcher import LocalLauncher
from batching.errors import LauncherUnavailable, SettingError
from batching.metrics_argo import ArgoMetrics
from batching.ports import RunRequest, RunState
from ingest.config import Settings, load
from ingest.launchers import Launchers
from tests.faults.proxy import free_port

FILE = """
data: {data}
argo: {{kubeconfig: {kubeconfig}, argo_ui: "https://argo.example/"}}
blobs: {{azure: {{account: a, container: c}}}}
streams:
  vibration:
    decode: {{format: json, time: {{field: t, unit: ms}}, channels: [x]}}
    run: {{flow: SensorProcessingFlow, launcher: argo}}
jobs:
  here: {{flow: SensorProcessingFlow, over: vibration}}
  named: {{flow: NightlyFlow, over: vibration, launcher: argo, template: plant.nightlyflow}}
"""


def settings(folder: Path, kubeconfig: Path | str = "null") -> Settings:
    path = folder / "headrace.yaml"
    path.write_text(FILE.format(data=folder / "data", kubeconfig=kubeconfig))
    return load(path, {})


def away(folder: Path) -> Path:
    """A kubeconfig of a server at whose port nobody listens."""
    path = folder / "kubeconfig"
    plain = {
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    path.write_text(json.dumps(plain))
    return path


def made(folder: Path, kubeconfig: Path | str = "null") -> Launchers:
    return Launchers(settings(folder, kubeconfig), ArgoMetrics(CollectorRegistry()))


def test_an_api_server_that_is_away_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argo_follower, "LATE_SECONDS", 0.3)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            found = await made(tmp_path, away(tmp_path)).open("0123456789abcdef", stack)
            assert isinstance(found["here"], LocalLauncher)
            assert await found["here"].state("any") is RunState.GONE
            argo = found["vibration"]
            assert found["named"] is argo
            assert argo.slots is None
            request = RunRequest("a", "vibration", 1, 1, "SensorProcessingFlow", "https://a/b")
            with pytest.raises(LauncherUnavailable):
                await argo.start(request)
            with pytest.raises(LauncherUnavailable):
                await argo.state("a")
            await asyncio.sleep(0.5)
            assert [why.split(":")[0] for why in argo.problems] == ["runs on Argo are not followed"]
            assert argo.where("a", "F") == {"argo_ui": "https://argo.example/workflows/argo/a"}

    asyncio.run(story())


def test_a_kubeconfig_is_asked_for_where_there_is_no_pod(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"argo\.kubeconfig: required here"):
        made(tmp_path)
    with pytest.raises(SettingError, match=r"argo\.kubeconfig: .*nowhere cannot be used"):
        made(tmp_path, "nowhere")


def test_without_the_extra_the_setting_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("batching.adapters.argo.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightkube", None)
    monkeypatch.setitem(sys.modules, "lightkube.config.client_adapter", None)
    with pytest.raises(SettingError, match=r"pip install 'headrace\[argo\]'"):
        made(tmp_path, away(tmp_path))
