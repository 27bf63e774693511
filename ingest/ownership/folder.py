"""The SDK's CheckpointStore in a folder: who owns which partition, where there is no cloud."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batching.adapters.folder import FolderStore


class FolderCheckpointStore:
    """Ownerships and checkpoints as small JSON files, in the dicts that the SDK defines.

    It has every call of the SDK's class, and is none of its children: who keeps owners in a folder
    need not load the SDK.

    A claim holds only where the `etag` is the one last read, or where there was no file.

    Args:
        root: the folder; made if it is missing.

    """

    def __init__(self, root: Path) -> None:
        self._store = FolderStore(root)

    async def list_ownership(
        self,
        fully_qualified_namespace: str,
        eventhub_name: str,
        consumer_group: str,
        **_kwargs: Any,
    ) -> list[dict[str, Any]]:
        """List who owns what; see the SDK's CheckpointStore."""
        scope = (fully_qualified_namespace, eventhub_name, consumer_group)
        return await self._list(scope, "ownership")

    async def claim_ownership(
        self, ownership_list: Iterable[dict[str, Any]], **_kwargs: Any
    ) -> list[dict[str, Any]]:
        """Claim partitions; gives those that were won, with their new etags."""
        won = []
        for wanted in ownership_list:
            claim = dict(wanted, last_modified_time=time.time())
            etag = claim.pop("etag", None)
            etag = await self._store.replace(_name(claim, "ownership"), _dump(claim), etag)
            if etag is not None:
                won.append(claim | {"etag": etag})
        return won

    async def update_checkpoint(
        self, checkpoint: dict[str, str | int | None], **_kwargs: Any
    ) -> None:
        """Write a checkpoint over the one before."""
        name, written = _name(checkpoint, "checkpoint"), None
        while written is None:
            found = await self._store.get_versioned(name)
            written = await self._store.replace(name, _dump(checkpoint), found and found[1])

    async def list_checkpoints(
        self,
        fully_qualified_namespace: str,
        eventhub_name: str,
        consumer_group: str,
        **_kwargs: Any,
    ) -> list[dict[str, Any]]:
        """List checkpoints; see the SDK's CheckpointStore."""
        scope = (fully_qualified_namespace, eventhub_name, consumer_group)
        return await self._list(scope, "checkpoint")

    async def close(self) -> None:
        """Let go of threads."""
        await self._store.close()

    async def _list(self, scope: tuple[str, str, str], kind: str) -> list[dict[str, Any]]:
        listed = []
        async for name in self._store.names(_folder(scope, kind)):
            found = await self._store.get_versioned(name)
            if found is not None:
                listed.append(json.loads(found[0]) | {"etag": found[1]})
        return listed


def _folder(scope: Iterable[str], kind: str) -> str:
    return "/".join(quote(word.lower(), safe="") for word in scope) + f"/{kind}/"


def _name(entry: dict[str, Any], kind: str) -> str:
    scope = [entry[k] for k in ("fully_qualified_namespace", "eventhub_name", "consumer_group")]
    return f"{_folder(scope, kind)}{quote(entry['partition_id'], safe='')}.json"


def _dump(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode()
