"""What the chart renders is well-formed, and says the things that matter."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ingest.config import load_all
from tests.helm.chart import (
    CHART,
    EXAMPLES,
    KUBERNETES,
    NAMESPACE,
    Helm,
    Objects,
    container,
    environment,
    schemas,
)

AKS, ALONE, SMALL = EXAMPLES
# Not of Kubernetes itself, and there are no schemas of them in a registry.
FOREIGN = "PodMonitor,PrometheusRule"
HUB = "source: {event_hubs: {namespace: plant7.servicebus.windows.net, hub: telemetry}}\n"
AZURE = "blobs: {azure: {account: plant7data, container: headrace}}\n"
REDIS = "redis: {url: redis://redis:6379}\n"
STREAM = "decode: {format: json, time: {field: t, unit: ms}, channels: [x]}"
STREAMS = f"streams:\n  motion:\n    {STREAM}\n"
CLOUD = HUB + AZURE + REDIS + STREAMS
SECRETS = {
    "HEADRACE_EVENT_HUBS_CONNECTION": "Endpoint=sb://example.net/;SharedAccessKey=a2V5",
    "HEADRACE_REDIS_PASSWORD": "secret",
}
examples = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def test_lint_finds_nothing_without_values(helm: Helm) -> None:
    helm.lint()


@examples
def test_lint_finds_nothing(helm: Helm, example: Path) -> None:
    helm.lint(example)


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_would_take_every_object(
    helm: Helm, kubeconform: str, version: str, tmp_path: Path
) -> None:
    there = schemas(version, tmp_path)
    for example in EXAMPLES:
        done = subprocess.run(
            [
                kubeconform,
                "-strict",
                "-summary",
                "-skip",
                FOREIGN,
                "-schema-location",
                f"{there}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
            ],
            input=helm.text(None, example),
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Valid: 0" not in done.stdout, done.stdout


def test_kubeconform_would_find_a_misspelled_field(
    kubeconform: str, helm: Helm, tmp_path: Path
) -> None:
    there = schemas(KUBERNETES[1], tmp_path)
    wrong = helm.text(None, ALONE).replace("enableServiceLinks", "enableServiceLink")
    where = f"{there}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [kubeconform, "-strict", "-schema-location", where]
    done = subprocess.run(command, input=wrong, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "enableServiceLink" in done.stdout


@examples
def test_every_pod_is_one_that_the_standard_restricted_lets_in(helm: Helm, example: Path) -> None:
    pods = [
        each["spec"]["template"]["spec"]
        for (kind, _), each in helm.objects(None, example).items()
        if kind in ("Deployment", "StatefulSet", "Job")
    ]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {"configMap", "secret", "emptyDir", "persistentVolumeClaim"} >= {
            key for volume in pod["volumes"] for key in volume if key != "name"
        }
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["requests"]["memory"]
            assert each["resources"]["limits"]["memory"]


def test_the_settings_reach_the_pod_as_they_were_written(helm: Helm) -> None:
    # Helm would sort the streams of a mapping, and the first that matches counts.
    text = HUB + AZURE + REDIS + f"streams:  # in order\n  zz: {{{STREAM}}}\n  aa: {{{STREAM}}}\n"
    objects = helm.objects({"config": text})
    assert objects["ConfigMap", "headrace"]["data"]["headrace.yaml"] == text
    assert objects["ConfigMap", "headrace-check"]["data"]["headrace.yaml"] == text


@pytest.mark.parametrize("example", [ALONE, SMALL], ids=lambda path: path.stem)
def test_the_service_takes_file_and_variables_as_the_pod_gets_them(
    helm: Helm, example: Path, tmp_path: Path
) -> None:
    objects = helm.objects(None, example)
    path = tmp_path / "headrace.yaml"
    path.write_text(objects["ConfigMap", "headrace"]["data"]["headrace.yaml"])
    given = {
        name: value if isinstance(value, str) else SECRETS.get(name, "a-pod")
        for name, value in environment(container(objects)).items()
    }
    if token := given.pop("HEADRACE_HTTP__TOKEN_FILE", None):
        (tmp_path / "token").write_text("t0ken")
        given["HEADRACE_HTTP__TOKEN_FILE"] = str(tmp_path / "token")
        mounts = {each["mountPath"] for each in container(objects)["volumeMounts"]}
        assert str(Path(token).parent) in mounts
    settings = load_all(path, given).settings
    assert settings.http.host == "0.0.0.0"  # noqa: S104 what the probes need
    assert settings.instance == "a-pod"
    assert str(settings.data) in {m["mountPath"] for m in container(objects)["volumeMounts"]}


def test_the_name_of_the_pod_is_the_name_of_the_process(helm: Helm) -> None:
    assert environment(container(helm.objects(None, AKS)))["HEADRACE_INSTANCE"] == {
        "fieldRef": {"fieldPath": "metadata.name"}
    }


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("", 25),
        ("drain_seconds: 40\n", 40),
        ("drain_seconds: 1.5 min\n", 90),
        ("drain_seconds: 1_500ms\n", 2),
        ("drain_seconds: '.5 h'\n", 1800),
    ],
)
def test_a_pod_is_given_the_time_to_drain(helm: Helm, said: str, seconds: int) -> None:
    pod = helm.objects({"config": CLOUD + said})["Deployment", "headrace"]["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == seconds + 30


def test_probes_ask_what_the_service_answers(helm: Helm) -> None:
    found = container(helm.objects({"config": CLOUD, "http": {"port": 8080}}))
    assert found["ports"] == [{"name": "http", "containerPort": 8080}]
    assert environment(found)["HEADRACE_HTTP__PORT"] == "8080"
    paths = {
        name: found[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": {"path": "/healthz", "port": "http"},
        "liveness": {"path": "/healthz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
    }
    assert found["startupProbe"]["periodSeconds"] * found["startupProbe"]["failureThreshold"] == 600


def test_workload_identity_is_a_label_of_pods_and_an_annotation_of_the_account(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    pod = objects["Deployment", "headrace"]["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["spec"]["serviceAccountName"] == "headrace"
    for account in ("headrace", "headrace-flows"):
        said = objects["ServiceAccount", account]["metadata"]["annotations"]
        assert said["azure.workload.identity/client-id"] == "11111111-2222-3333-4444-555555555555"


def test_without_an_identity_nothing_is_labelled(helm: Helm) -> None:
    assert "azure.workload.identity" not in helm.text({"config": CLOUD})


def test_the_account_may_start_and_follow_workflows_and_nothing_else(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    role, binding = objects["Role", "headrace"], objects["RoleBinding", "headrace"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "flows"
    assert role["rules"] == [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflows"],
            "verbs": ["create", "get", "list", "watch"],
        },
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get"]},
    ]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "headrace", "namespace": NAMESPACE}
    ]
    pod = objects["Deployment", "headrace"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True


def test_the_pods_of_flows_may_report_and_nothing_else(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    assert objects["ServiceAccount", "headrace-flows"]["metadata"]["namespace"] == "flows"
    assert objects["Role", "headrace-flows"]["rules"] == [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflowtaskresults"],
            "verbs": ["create", "patch"],
        }
    ]


@pytest.mark.parametrize("more", ["", "argo: {kubeconfig: /etc/elsewhere}\n"])
def test_who_starts_nothing_on_argo_gets_no_token(helm: Helm, more: str) -> None:
    run = "    run: {flow: F, launcher: argo}\n" if more else "    run: {flow: F}\n"
    objects = helm.objects({"config": CLOUD + run + more})
    pod = objects["Deployment", "headrace"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert not {kind for kind, _ in objects} & {"Role", "RoleBinding"}


def test_a_job_of_its_own_counts_as_well(helm: Helm) -> None:
    jobs = "jobs:\n  spectra: {flow: SpectrumFlow, over: [motion], launcher: argo}\n"
    role = helm.objects({"config": CLOUD + jobs})["Role", "headrace"]
    assert role["metadata"]["namespace"] == "argo", "the default of argo.namespace"


def test_secrets_are_named_and_never_written(helm: Helm) -> None:
    found = container(helm.objects(None, SMALL))
    assert environment(found)["HEADRACE_EVENT_HUBS_CONNECTION"] == {
        "secretKeyRef": {"name": "hub", "key": "connection"}
    }
    assert environment(found)["HEADRACE_REDIS_PASSWORD"] == {
        "secretKeyRef": {"name": "valkey", "key": "password"}
    }
    assert not [kind for kind, _ in helm.objects(None, SMALL) if kind == "Secret"]


def test_files_of_a_secret_are_for_the_user_of_the_pod_alone(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    volumes = objects["Deployment", "headrace"]["spec"]["template"]["spec"]["volumes"]
    (secret,) = [each["secret"] for each in volumes if "secret" in each]
    assert secret == {"secretName": "headrace-token", "defaultMode": 0o440}


def test_other_settings_make_other_pods(helm: Helm) -> None:
    def said(config: str) -> str:
        pod = helm.objects({"config": config})["Deployment", "headrace"]["spec"]["template"]
        return str(pod["metadata"]["annotations"]["headrace/config"])

    assert said(CLOUD) == said(CLOUD)
    assert said(CLOUD) != said(CLOUD + "# another\n")


def test_all_pods_stop_before_new_ones_start_unless_asked(helm: Helm) -> None:
    def strategy(**more: Any) -> Any:
        spec = helm.objects({"config": CLOUD, "replicas": 3, **more})["Deployment", "headrace"]
        return spec["spec"]["strategy"]

    assert strategy() == {"type": "Recreate"}
    assert strategy(strategy="RollingUpdate") == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
    }


def test_settings_are_checked_by_the_same_image_before_anything_stops(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    job = objects["Job", "headrace-check"]
    checking = container(objects, "Job", "headrace-check")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert checking["image"] == container(objects)["image"]
    assert checking["args"] == ["check", "/etc/headrace/headrace.yaml"]
    assert environment(checking) == environment(container(objects))
    assert ("Job", "headrace-check") not in helm.objects({"config": CLOUD, "check": False})


def test_a_disk_stays_when_the_release_goes(helm: Helm) -> None:
    objects = helm.objects(None, SMALL)
    claim = objects["PersistentVolumeClaim", "headrace"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = objects["Deployment", "headrace"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "headrace"}} in volumes


def test_valkey_keeps_its_log_and_lets_only_the_service_in(helm: Helm) -> None:
    objects = helm.objects(None, SMALL)
    said = objects["ConfigMap", "headrace-valkey"]["data"]["valkey.conf"].splitlines()
    assert {"appendonly yes", "maxmemory-policy noeviction", "dir /data"} <= set(said)
    assert environment(container(objects))["HEADRACE_REDIS__URL"] == "redis://headrace-valkey:6379"
    policy = objects["NetworkPolicy", "headrace-valkey"]["spec"]
    allowed = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    labels = objects["Deployment", "headrace"]["spec"]["template"]["metadata"]["labels"]
    assert allowed.items() <= labels.items()
    own = objects["StatefulSet", "headrace-valkey"]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= own.items()
    assert not allowed.items() <= own.items()


def test_the_service_and_the_monitor_choose_the_pods_of_the_service_alone(helm: Helm) -> None:
    values = {"valkey": {"enabled": True}, "podMonitor": {"enabled": True}}
    objects = helm.objects({"config": HUB + AZURE + STREAMS, **values})
    pods: Objects = {
        key: each["spec"]["template"]["metadata"]["labels"]
        for key, each in objects.items()
        if key[0] in ("Deployment", "StatefulSet", "Job")
    }
    for chosen in (
        objects["Service", "headrace"]["spec"]["selector"],
        objects["PodMonitor", "headrace"]["spec"]["selector"]["matchLabels"],
    ):
        matching = [key for key, labels in pods.items() if chosen.items() <= labels.items()]
        assert matching == [("Deployment", "headrace")]


def test_the_monitor_is_of_whichever_operator_there_is(helm: Helm) -> None:
    monitor = helm.objects(None, AKS)["PodMonitor", "headrace"]
    assert monitor["apiVersion"] == "azmonitoring.coreos.com/v1"
    assert monitor["spec"]["podMetricsEndpoints"] == [
        {"port": "http", "path": "/metrics", "honorLabels": True, "interval": "30s"}
    ]


def test_rules_and_dashboards_come_with_it(helm: Helm) -> None:
    objects = helm.objects(None, AKS)
    rules = YAML(typ="safe").load((CHART / "rules" / "headrace.yaml").read_text())
    assert objects["PrometheusRule", "headrace"]["spec"] == rules
    board = objects["ConfigMap", "headrace-dashboards"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    text = (CHART / "dashboards" / "overview.json").read_text()
    assert board["data"]["headrace-overview.json"].strip() == text.strip()


def test_an_image_is_named_by_its_digest_if_there_is_one(helm: Helm) -> None:
    digest = "sha256:" + "0" * 64
    image = {"repository": "example/ingest", "tag": "7", "digest": digest}
    objects = helm.objects({"config": CLOUD, "image": image})
    assert container(objects)["image"] == f"example/ingest@{digest}"
    del image["digest"]
    assert container(helm.objects({"config": CLOUD, "image": image}))["image"] == "example/ingest:7"


def test_notes_tell_where_to_look_and_what_goes_with_the_pod(helm: Helm) -> None:
    run = "    run: {flow: SensorProcessingFlow}\n"
    said = helm.notes({"config": STREAMS + run, "data": {"allowLoss": True}})
    assert "headrace status" in said
    assert "launcher: argo" in said
    assert "goes with the pod" in said
    said = helm.notes({"config": CLOUD})
    assert "WARNING" not in said
    assert "NOTE" not in said
