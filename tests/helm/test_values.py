"""Wrong values are refused, and the message names them."""

import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.helm.chart import CHART, Helm, Refused
from tests.helm.test_manifests import AZURE, CLOUD, HUB, REDIS, STREAMS


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 2}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": "two"}, "replicas"),
        ({"strategy": "rolling"}, "strategy"),
        ({"config": {"streams": {}}}, "config"),
        ({"image": {"tag": "a tag"}}, "tag"),
        ({"image": {"digest": "sha256:123"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"workloadIdentity": {"clientId": "plant7"}}, "clientId"),
        ({"secrets": {"env": {"HEADRACE_HTTP_TOKEN": "t0ken"}}}, "HEADRACE_HTTP_TOKEN"),
        ({"secrets": {"files": ["a secret"]}}, "files"),
        ({"env": {"HEADRACE_REDIS_PASSWORD": "secret"}}, "HEADRACE_REDIS_PASSWORD"),
        ({"env": {"AZURE_STORAGE_CONNECTION_STRING": "s"}}, "AZURE_STORAGE_CONNECTION_STRING"),
        ({"env": {"HEADRACE_DRAIN_SECONDS": "60"}}, "HEADRACE_DRAIN_SECONDS"),
        ({"env": {"HEADRACE_INSTANCE": "one"}}, "HEADRACE_INSTANCE"),
        ({"http": {"port": 80}}, "port"),
        ({"data": {"size": "ten"}}, "size"),
        ({"data": {"accessMode": "ReadOnlyMany"}}, "accessMode"),
        ({"podMonitor": {"apiVersion": "monitoring"}}, "apiVersion"),
        ({"podMonitor": {"interval": "30"}}, "interval"),
        ({"valkey": {"maxMemory": "a lot"}}, "maxMemory"),
        ({"serviceAccount": {"name": "Headrace"}}, "name"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, values: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.text({"config": CLOUD, **values})
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "--set-file config="),
        ({"config": "streams: ["}, "config: no YAML"),
        ({"config": CLOUD + "drain_seconds: soon\n"}, "drain_seconds: soon"),
        ({"config": HUB + REDIS + STREAMS}, "data.allowLoss"),
        ({"config": AZURE + REDIS + STREAMS, "replicas": 2}, "source.event_hubs"),
        ({"config": AZURE + HUB + STREAMS, "replicas": 2}, "redis.url"),
        (
            {"config": HUB + REDIS + STREAMS, "replicas": 2, "data": {"persistent": True}},
            "blobs.azure",
        ),
        ({"config": CLOUD, "valkey": {"enabled": True}}, "leave one out"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
def test_what_cannot_be_well_is_refused_with_what_to_do(
    helm: Helm, values: dict[str, Any], named: str
) -> None:
    with pytest.raises(Refused) as refused:
        helm.text(values)
    assert named in str(refused.value)


def test_values_and_their_schema_name_the_same() -> None:
    values = YAML(typ="safe").load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    schema["properties"].pop("global")  # Helm's own
    assert _names(values, schema) == _described(schema)


def _names(values: Any, schema: Any, path: str = "") -> set[str]:
    """Name the values, down to where the schema lets in any name."""
    if not isinstance(values, dict) or "properties" not in schema:
        return {path}
    found = {f"{path}.{key}" for key in values if key not in schema["properties"]}
    for key, below in schema["properties"].items():
        if key in values:
            found |= _names(values[key], below, f"{path}.{key}")
    return found


def _described(schema: Any, path: str = "") -> set[str]:
    below = schema.get("properties")
    if below is None:
        return {path}
    return {name for key in below for name in _described(below[key], f"{path}.{key}")}
