"""A kubeconfig that cannot be used is a setting to be corrected, named with its file."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from batching.adapters.argo.config import connect
from batching.errors import SettingError


def kubeconfig(folder: Path, **changes: Any) -> Path:
    plain = {
        "current-context": "plant",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443"}}],
        "contexts": [
            {"name": "plant", "context": {"cluster": "c", "user": "u", "namespace": "flows"}},
            {"name": "bare", "context": {"cluster": "c"}},
        ],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps({**plain, **changes}))  # JSON is YAML
    return path


def test_a_kubeconfig_names_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        client = connect(kubeconfig(tmp_path))
        assert client.config.cluster.server == "https://127.0.0.1:6443"
        await client.close()  # type: ignore[no-untyped-call]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "context", "why"),
    [
        ({"contexts": []}, None, "Context 'plant' not found"),
        ({}, "typo", "Context 'typo' not found"),
        ({}, "bare", "names no user"),
        ({"clusters": []}, None, "KeyError 'c'"),
        ({"current-context": None}, None, "No current context"),
        ({"users": [{"name": "u", "user": {"auth-provider": {"name": "azure"}}}]}, None, "auth-pr"),
        ({"users": 5}, None, "not iterable"),
    ],
)
def test_what_is_wrong_in_a_kubeconfig_is_said_with_its_name(
    tmp_path: Path, changes: dict[str, Any], context: str | None, why: str
) -> None:
    path = kubeconfig(tmp_path, **changes)
    with pytest.raises(SettingError, match=r"argo\.kubeconfig: .* cannot be used: ") as caught:
        connect(path, context)
    assert str(path) in str(caught.value)
    assert why in str(caught.value)


def test_a_missing_file_and_a_machine_that_is_no_pod_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="not found"):
        connect(tmp_path / "none")
    with pytest.raises(SettingError, match="required here, since this is no pod of a cluster"):
        connect(None, account=tmp_path)
    (tmp_path / "token").write_text("secret")
    (tmp_path / "namespace").write_text("flows")
    with pytest.raises(SettingError, match="KUBERNETES_SERVICE_HOST"):
        connect(None, account=tmp_path)
