"""Where the API server is and who we are there: from a kubeconfig, or from the pod that we run in.

lightkube makes TLS and requests, and reads the token of a service account anew from its file when
the server no longer takes the old one: the kubelet writes a new one long before.
"""

from pathlib import Path

import httpx2
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.core.generic_client import GenericAsyncClient

from batching.errors import SettingError

ANSWER_SECONDS = 10.0


def connect(
    kubeconfig: Path | None, context: str | None = None, *, account: Path = Path(SERVICE_ACCOUNT)
) -> GenericAsyncClient:
    """Make a client for the cluster of a kubeconfig, or for the one that this pod is in.

    Args:
        kubeconfig: a file, or None for the pod's service account.
        context: of the kubeconfig; its current one if None.
        account: where the service account's token and authority are mounted.

    Raises:
        SettingError: the file cannot be used, or this is no pod.

    """
    try:
        config = _config(kubeconfig, context, account)
        return GenericAsyncClient(ConnectionParams(timeout=httpx2.Timeout(ANSWER_SECONDS)), config)
    except Exception as error:  # whatever is wrong in a file that others write
        why = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
        if kubeconfig is None:
            raise SettingError(
                f"argo.kubeconfig: required here, since this is no pod of a cluster ({why})"
            ) from error
        raise SettingError(f"argo.kubeconfig: {kubeconfig} cannot be used: {why}") from error


def _config(kubeconfig: Path | None, context: str | None, account: Path) -> SingleConfig:
    if kubeconfig is None:
        found = KubeConfig.from_service_account(account).get()
    else:
        found = KubeConfig.from_file(kubeconfig).get(context)
    if found is None or found.user is None:
        raise ConfigError("the context names no user")
    return found
