"""The store as the protocol sees it: create-only writes and replacement if unchanged."""

from collections.abc import Callable
from typing import Any

from tests.protocol.guards import guard

CREATE_ONLY = tuple(f"create-only {kind}" for kind in ("log", "runs", "results", "redrive"))
Objects = dict[str, tuple[Any, int]]


class Blob:
    """Objects and their versions; what appears and goes is told at that moment."""

    def __init__(
        self, created: Callable[[str, Any], None], deleted: Callable[[str, Any], None]
    ) -> None:
        self.objects: Objects = {}
        self.created, self.deleted, self.versions = created, deleted, 0

    def get(self, name: str) -> Any:
        return self.objects.get(name, (None, 0))[0]

    def get_versioned(self, name: str) -> tuple[Any, int] | None:
        return self.objects.get(name)

    def create(self, name: str, value: Any) -> bool:
        kind = f"create-only {name.split('/')[1]}" if "/" in name else ""
        if name in self.objects and not (kind in CREATE_ONLY and not guard(kind)):
            return False
        self._write(name, value)
        return True

    def replace(self, name: str, value: Any, version: int | None) -> int | None:
        kind = "replace settled" if "/runs/" in name else "replace position"
        kind = "replace trimmed" if "/trimmed/" in name else kind
        if self.objects.get(name, (None, None))[1] != version and guard(kind):
            return None
        self._write(name, value)
        return self.versions

    def _write(self, name: str, value: Any) -> None:
        self.versions += 1
        self.objects[name] = (value, self.versions)
        self.created(name, value)

    def delete(self, name: str) -> None:
        value, _ = self.objects.pop(name, (None, 0))
        self.deleted(name, value)

    def names(self, prefix: str) -> list[str]:
        return sorted([name for name in self.objects if name.startswith(prefix)])
