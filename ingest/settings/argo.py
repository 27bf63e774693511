"""Where Argo Workflows is, for jobs whose launcher it is, and where people look at its runs."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ingest.settings.kinds import Accepts, Part, Place, Text, shown

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PAGE = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
_TEMPLATE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def _namespace(value: str) -> str:
    if _NAMESPACE.fullmatch(value) is None:
        raise ValueError(f"{shown(value)} is no namespace: use a-z, 0-9 and -, at most 63")
    return value


def _template(value: str) -> str:
    if _TEMPLATE.fullmatch(value) is None:
        raise ValueError(
            f"{shown(value)} is no WorkflowTemplate: use a-z, 0-9, - and ., at most 253; Metaflow"
            " says the name when it deploys the flow"
        )
    return value


def _page(value: str) -> str:
    if _PAGE.fullmatch(value) is None:
        raise ValueError(f"must be an address such as https://argo.example.org, got {shown(value)}")
    return value.rstrip("/")


Namespace = Annotated[str, AfterValidator(_namespace), Accepts("a namespace of Kubernetes")]
Template = Annotated[str, AfterValidator(_template), Accepts("a name of a-z, 0-9, - and .")]
Page = Annotated[
    str, AfterValidator(_page), Accepts("an address that begins with http:// or https://")
]


class Argo(Part):
    """Argo Workflows, for jobs that say `launcher: argo`."""

    namespace: Namespace = Field(
        default="argo", description="Namespace of Workflows and their templates."
    )
    kubeconfig: Place | None = Field(
        default=None,
        description="File that names the cluster and our account; the pod's own service account"
        " if not set.",
    )
    context: Text | None = Field(
        default=None, description="Context of the kubeconfig; its current one if not set."
    )
    argo_ui: Page | None = Field(
        default=None, description="Argo's user interface, for links to runs."
    )
    metaflow_ui: Page | None = Field(
        default=None, description="Metaflow's user interface, for links to runs."
    )
