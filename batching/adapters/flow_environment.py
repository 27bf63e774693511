"""What flows of this machine are told: plain variables, never the service's own secrets."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

# Locale, paths, threads, proxies and certificates; Metaflow's settings; and how a flow signs
# in to the store by itself. HEADRACE_ variables carry the service's settings and secrets.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG|LC_.*|VIRTUAL_ENV|CONDA_.*|PYTHON.*"
    r"|LD_LIBRARY_PATH|DYLD_.*|(OMP|OPENBLAS|MKL|NUMEXPR)_.*|CUDA_.*"
    r"|(HTTPS?|NO|ALL)_PROXY|SSL_CERT_.*|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"
    r"|METAFLOW_.*|AZURE_.*|MSI_.*|IDENTITY_.*",
    re.IGNORECASE,
)


def flow_environment(
    service: Mapping[str, str], metaflow: Path, extra: Mapping[str, str]
) -> dict[str, str]:
    """Choose the variables of a flow's process.

    Args:
        service: the service's own environment.
        metaflow: folder for Metaflow's runs and artifacts.
        extra: variables that settings add; they win.

    """
    passed = {name: value for name, value in service.items() if _PASSED.fullmatch(name)}
    own = {
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(metaflow),
        "METAFLOW_DEFAULT_DATASTORE": "local",
        "METAFLOW_DEFAULT_METADATA": "local",
        "PYTHONUNBUFFERED": "1",
    }
    names = {passed.get(name, "") for name in ("METAFLOW_USER", "USERNAME", "USER")}
    if not names - {"", "root"}:  # in a container: Metaflow refuses to run for nobody and root
        own["METAFLOW_USER"] = "headrace"
    return passed | own | dict(extra)


def find_flows(*folders: Path) -> dict[str, Path]:
    """Find the flows in the files of some folders, without running them; later ones win.

    A flow is a class with a base called FlowSpec. A file that is no Python is passed over.
    """
    flows: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            flows |= dict.fromkeys(_flows_in(path), path)
    return flows


def _flows_in(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError):
        return []
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return [node.name for node in classes if any(map(_is_flow_spec, node.bases))]


def _is_flow_spec(base: ast.expr) -> bool:
    name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    return bool(name == "FlowSpec")
