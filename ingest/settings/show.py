"""Settings for people: all of them with secrets masked, and in two lines where things go."""

from typing import Any

from ingest.settings.service import Settings
from ingest.settings.shape import find
from ingest.settings.source import EmbeddedHub, EventHubs


def resolved(settings: Settings) -> dict[str, Any]:
    """Give every setting in force as plain values; a secret shows as stars."""
    plain: dict[str, Any] = _without_unset(settings.model_dump(mode="json"), ())
    if settings.blobs_folder is not None:
        plain["blobs"] = {"folder": str(settings.blobs_folder)}
    return plain


def _without_unset(plain: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Leave out what is null by default; a null that switches something off stays."""
    kept: dict[str, Any] = {}
    for name, value in plain.items():
        below = (*path, name)
        if isinstance(value, dict):
            kept[name] = _without_unset(value, below)
        elif value is not None or _switched_off(below):
            kept[name] = value
    return kept


def _switched_off(path: tuple[str, ...]) -> bool:
    node = find(Settings, path)
    return node is not None and node.field.default is not None


def where_from(settings: Settings) -> str:
    """Say in a line where events come from."""
    chosen = settings.source.chosen
    group = f"hub {chosen.hub}, consumer group {chosen.consumer_group}"
    if isinstance(chosen, EmbeddedHub):
        return f"from an embedded hub with {chosen.partitions} partitions: {group}"
    if isinstance(chosen, EventHubs):
        return f"from Event Hubs {chosen.namespace}: {group}"
    return f"from an IoT Hub: {group}"


def where_to(settings: Settings) -> str:
    """Say in a line where events wait and where batches are kept."""
    redis = settings.redis.url or "an embedded Valkey"
    azure = settings.blobs.azure
    if azure is None:
        return f"through {redis} to the folder {settings.blobs_folder}"
    account = azure.account or azure.endpoint or "the connection string's account"
    prefix = f", prefix {azure.prefix}" if azure.prefix else ""
    return f"through {redis} to Azure: {account}, container {azure.container}{prefix}"
