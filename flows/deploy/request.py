"""What is to be deployed, and how: everything that `headrace deploy` was told, as plain values."""

import json
import re
from dataclasses import dataclass, fields
from typing import Any

from batching.errors import SettingError

NAME_LENGTH = 45  # Argo appends to it, and what comes out is a label: at most 63
_NAME = re.compile(r"[a-z]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class Job:
    """A job of the service that starts the flow."""

    name: str
    schedule: "str | None" = None


@dataclass(frozen=True)
class Request:
    """One call of `headrace deploy`. What is None is left to Metaflow's own configuration."""

    file: str
    name: str  # of the WorkflowTemplate, if the flow has no @project, which names it itself
    namespace: str = "argo"
    kubeconfig: "str | None" = None
    context: "str | None" = None
    dry_run: bool = False
    output: "str | None" = None
    jobs: "tuple[Job, ...]" = ()
    store: "str | None" = None  # what flows read that are started without a run record
    datastore: "str | None" = None  # of Metaflow: https://account/container[/prefix]
    image: "str | None" = None
    service_account: "str | None" = None
    cpu: "float | None" = None
    memory_mb: "int | None" = None
    disk_mb: "int | None" = None
    retries: int = 2
    retry_minutes: int = 1
    parallelism: int = 100
    keep_succeeded_seconds: int = 3600
    keep_failed_seconds: int = 86400
    timeout_seconds: "int | None" = None
    user: int = 10001
    writable_root: bool = False
    workload_identity: bool = True
    metaflow: "tuple[str, ...]" = ()  # further options for Metaflow, before `argo-workflows`

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def of(cls, text: str) -> "Request":
        """Read a request from JSON.

        Raises:
            SettingError: it has an unknown field, or the name is none.

        """
        plain: dict[str, Any] = json.loads(text)
        if unknown := set(plain) - {each.name for each in fields(cls)}:
            raise SettingError(f"deploy knows no {', '.join(sorted(unknown))}")
        jobs = tuple(Job(**job) for job in plain.pop("jobs", ()))
        return cls(**{**plain, "jobs": jobs, "metaflow": tuple(plain.get("metaflow", ()))})


def check_name(name: str) -> None:
    """Make sure that a WorkflowTemplate can have this name, and the runs made from it theirs.

    Raises:
        SettingError: it is too long, or has other characters.

    """
    if len(name) > NAME_LENGTH:
        raise SettingError(
            f"name: {name} has {len(name)} characters, Argo has room for {NAME_LENGTH}: give a"
            " shorter one with --name, and the same as `template` to the jobs that start the flow"
        )
    if _NAME.fullmatch(name) is None:
        raise SettingError(
            f"name: {name!r} is none for Kubernetes: a-z, 0-9, - and ., a letter first"
        )
