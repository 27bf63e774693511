"""Argo's launcher against a real API server: every answer that it gives, and every silence."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batching.adapters.argo import follower as argo_follower
from batching.adapters.argo.api import Api
from batching.adapters.argo.config import connect
from batching.adapters.argo.launcher import ArgoLauncher
from batching.errors import LauncherBusy, LauncherRefused, LauncherUnavailable
from batching.ports import RunRequest, RunState
from tests.batching.adapters.argo_stage import (
    RULES,
    STORE,
    TEMPLATE,
    ArgoStage,
    account,
    followed,
    patiently,
)
from tests.batching.adapters.local_stage import until, when
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster, namespace  # noqa: F401
from tests.cluster.place import API
from tests.faults.api_proxy import ApiProxy
from tests.faults.store_proxy import Fault

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[ArgoStage]:  # noqa: F811
    made = ArgoStage(cluster, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(stage: ArgoStage) -> Iterator[ApiProxy]:
    made = ApiProxy(API, stage.cluster.authority)
    yield made
    made.close()


# --- what is created ------------------------------------------------------------------------


def test_the_workflow_that_the_server_has_names_its_run(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await stage.begun("a")
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)
        await launcher.close()

    asyncio.run(story())
    found = json.loads(stage.kubectl("get", "workflow", "a", "--output", "json"))
    assert found["metadata"]["annotations"]["headrace/manifests"] == '{"0":[0,2]}'
    labels = found["metadata"]["labels"]
    assert {k: v for k, v in labels.items() if k.startswith("headrace/")} == {
        "headrace/store": STORE,
        "headrace/job": "job",
        "headrace/run": "7",
        "headrace/attempt": "1",
    }
    uri = "https://store.example/store/runs/job/000000000007.json"
    assert found["metadata"]["annotations"]["headrace/run-record"] == uri
    assert json.loads(stage.codes.runs["a"]) == uri, "as Metaflow reads it in the pod"


# --- what the server says no to ---------------------------------------------------------------


def test_a_name_that_is_somebody_elses_is_refused_and_left_alone(stage: ArgoStage) -> None:
    strange = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "a", "namespace": stage.namespace},
        "spec": {"workflowTemplateRef": {"name": TEMPLATE}},
    }

    async def story() -> None:
        launcher = stage.launcher()
        stage.create(strange)
        with pytest.raises(LauncherRefused, match="is not ours: it was made for something else"):
            await launcher.start(stage.request("a"))
        assert await launcher.start(stage.request("b"))
        plain = stage.request("b")
        other = RunRequest("b", "job", 7, 1, "PlainFlow", "https://elsewhere/runs/job/7.json")
        with pytest.raises(LauncherRefused, match=f"made for {plain.record_uri}"):
            await launcher.start(other)
        assert not await launcher.start(plain)
        await launcher.close()

    asyncio.run(story())
    assert stage.workflows() == ["a", "b"]


@pytest.mark.parametrize(
    ("verbs", "right"),
    [
        (["get", "list", "watch"], 'cannot create resource "workflows"'),
        (["create", "list", "watch"], 'cannot get resource "workflows"'),
    ],
)
def test_a_missing_right_is_named_with_its_cure(
    stage: ArgoStage, verbs: list[str], right: str
) -> None:
    rules = [{**RULES[0], "verbs": verbs}, RULES[1]]
    stage.create(*account(stage.namespace, "lesser", rules))
    token = stage.cluster.token(stage.namespace, "lesser")

    async def story() -> None:
        launcher = stage.launcher(stage.api(token=token))
        if "create" in verbs:
            assert await launcher.start(stage.request("a"))  # the next one looks whose it is
        with pytest.raises(LauncherRefused, match="needs a Role in namespace") as caught:
            await launcher.start(stage.request("a"))
        assert right in str(caught.value)
        assert "(403)" in str(caught.value)
        await launcher.close()

    asyncio.run(story())


def test_without_the_right_to_look_the_service_is_not_ready_and_says_which(
    stage: ArgoStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argo_follower, "LATE_SECONDS", 0.2)
    stage.create(*account(stage.namespace, "blind", [{**RULES[0], "verbs": ["create"]}]))
    token = stage.cluster.token(stage.namespace, "blind")

    async def story() -> None:
        launcher = stage.launcher(stage.api(token=token))
        await when(lambda: len(launcher.problems) == 3)
        template, _, follow = sorted(launcher.problems, key=lambda why: "followed" in why)
        assert 'cannot get resource "workflowtemplates"' in template
        assert 'cannot list resource "workflows"' in follow
        await launcher.close()

    asyncio.run(story())


def test_a_full_quota_is_waited_for(stage: ArgoStage) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": stage.namespace},
        "spec": {"hard": {"count/workflows.argoproj.io": "1"}},
    }

    async def story() -> None:
        launcher = stage.launcher()
        stage.create(quota)
        shown = ("get", "resourcequota", "few", "--output", "yaml")
        await when(lambda: "used:" in stage.kubectl(*shown))  # its controller has counted
        assert await launcher.start(stage.request("a"))
        with pytest.raises(LauncherBusy, match="exceeded quota: few"):
            await launcher.start(stage.request("b"))
        assert await launcher.state("a") is RunState.RUNNING, "only creations wait"
        stage.kubectl("delete", "resourcequota", "few")
        assert await patiently(launcher, stage.request("z"))
        await launcher.close()

    asyncio.run(story())


def test_a_workflow_that_is_invalid_is_refused_in_the_servers_words(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        bad = RunRequest("a", "job", 7, 1, "PlainFlow", "https://x", {"0": (0, 1)})
        api, label = launcher._api, "-no-label-"
        with pytest.raises(LauncherRefused, match=r"(?s)a valid label must .*\(422\)"):
            await api.create(
                {
                    "metadata": {"name": bad.name, "labels": {"headrace/job": label}},
                    "spec": {"workflowTemplateRef": {"name": TEMPLATE}},
                }
            )
        with pytest.raises(LauncherRefused, match=r"\(422\)"):
            await launcher.start(stage.request("Not_A_Name"))
        await launcher.close()

    asyncio.run(story())
    assert stage.workflows() == []


def test_a_missing_namespace_and_a_missing_argo_are_told(stage: ArgoStage) -> None:
    async def story() -> None:
        admin = Api(
            connect(stage.cluster.authority.parent.parent / "admin.kubeconfig"),
            "nowhere",
            stage.metrics,
        )
        body = {"metadata": {"name": "a"}, "spec": {}}
        with pytest.raises(LauncherRefused, match='namespaces "nowhere" not found'):
            await admin.create(body)
        assert await admin.workflow("a") is None
        assert await admin.template("a") is None
        await admin.close()

    asyncio.run(story())


# --- an API server that is busy, broken or silent ---------------------------------------------

BUSY = Fault("busy", status=429, headers={"Retry-After": "2"})
BROKEN = Fault("broken", status=500, code="InternalError")
AWAY = Fault("away", status=503, code="ServiceUnavailable", headers={"Retry-After": "1"})
LOST = Fault("answer lost", lose_answer=True)
LATE = Fault("late", wait_seconds=2.0)
CUT = Fault("cut", cut=True)


def on(fault: Fault, method: str) -> Any:
    return lambda m, path: fault if m == method and "watch=" not in path else None


def test_a_server_that_asks_to_wait_is_left_alone_for_that_long(
    stage: ArgoStage, proxy: ApiProxy
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url))
        await followed(launcher)
        proxy.plan = on(BUSY, "POST")
        for _ in range(5):
            with pytest.raises(LauncherBusy, match="Too many requests"):
                await launcher.start(stage.request("a"))
        with pytest.raises(LauncherBusy):
            await launcher.state("unknown")
        assert proxy.hits["busy"] == 1, "the others were not sent"
        proxy.plan = lambda _method, _path: None
        await asyncio.sleep(2.1)
        assert await launcher.start(stage.request("a"))
        await launcher.close()

    asyncio.run(story())


@pytest.mark.parametrize("fault", [BROKEN, AWAY, CUT], ids=lambda fault: fault.name)
def test_trouble_passes_and_nothing_was_started(
    stage: ArgoStage, proxy: ApiProxy, fault: Fault
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url))
        await followed(launcher)
        proxy.plan = on(fault, "POST")
        with pytest.raises(LauncherUnavailable):
            await launcher.start(stage.request("a"))
        assert stage.workflows() == []
        proxy.plan = lambda _method, _path: None
        assert await patiently(launcher, stage.request("a"))
        await launcher.close()

    asyncio.run(story())
    assert stage.workflows() == ["a"]


@pytest.mark.parametrize("fault", [LOST, LATE], ids=lambda fault: fault.name)
def test_a_start_whose_answer_was_lost_is_found_to_be_ours(
    stage: ArgoStage, proxy: ApiProxy, fault: Fault
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url, call_seconds=1.0))
        await followed(launcher)
        proxy.plan = on(fault, "POST")
        with pytest.raises(LauncherUnavailable):
            await launcher.start(stage.request("a"))
        proxy.plan = lambda _method, _path: None
        await asyncio.sleep(2.0)  # what was late has been applied by now, or will never be
        started = await patiently(launcher, stage.request("a"))
        assert started == (fault is LATE and "a" not in stage.codes.asked and started)
        await stage.begun("a")
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)
        await launcher.close()

    asyncio.run(story())
    assert stage.workflows() == ["a"]
    assert stage.codes.asked["a"] == 1


def test_calls_that_are_never_answered_are_given_up_in_time_and_not_one_by_one(
    stage: ArgoStage, proxy: ApiProxy
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url, call_seconds=0.5))
        proxy.plan = lambda _m, _p: Fault("silent", wait_seconds=20)
        began = asyncio.get_running_loop().time()
        for name in "abcdefghij":
            with pytest.raises(LauncherUnavailable):
                await launcher.state(name)
        assert asyncio.get_running_loop().time() - began < 2.0, "ten runs, one wait"
        await launcher.close()

    asyncio.run(story())


# --- who we are ---------------------------------------------------------------------------------


async def asked_until_it_fails(launcher: ArgoLauncher) -> None:
    """The server believes for some seconds in a token that it has checked."""
    async with asyncio.timeout(60):
        while True:
            await launcher.state("unknown")
            await asyncio.sleep(0.5)


def test_a_token_that_was_replaced_in_its_file_is_used_from_then_on(
    stage: ArgoStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod: the kubelet writes a new token, the old one ends."""
    home = tmp_path / "serviceaccount"
    home.mkdir()
    (home / "ca.crt").write_bytes(stage.cluster.authority.read_bytes())
    (home / "namespace").write_text(stage.namespace)
    address, port = API.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", address)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)

    def token(bound_to: str) -> str:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": bound_to}}
        secret["metadata"]["namespace"] = stage.namespace  # type: ignore[index]
        stage.create(secret)
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={bound_to}")
        return stage.kubectl("create", "token", "headrace", *bound).strip()

    async def story() -> None:
        (home / "token").write_text(token("one"))
        launcher = stage.launcher(Api(connect(None, account=home), stage.namespace, stage.metrics))
        assert await launcher.start(stage.request("a"))
        stage.kubectl("delete", "secret", "one")  # its token is no longer good
        with pytest.raises(LauncherUnavailable, match=r"Unauthorized \(401\)"):
            await asked_until_it_fails(launcher)
        (home / "token").write_text(token("two"))
        assert await patiently(launcher, stage.request("b"))
        await launcher.close()

    asyncio.run(story())
    assert stage.workflows() == ["a", "b"]
