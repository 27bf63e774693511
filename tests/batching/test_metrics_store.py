import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from batching.adapters.folder import FolderStore
from batching.errors import StoreUnavailable
from batching.metrics_store import MeasuredStore, StoreMetrics
from batching.ports import BlobStore


def test_each_call_is_counted_by_what_came_of_it(tmp_path: Path) -> None:
    registry = CollectorRegistry()

    async def story() -> None:
        store: BlobStore = MeasuredStore(FolderStore(tmp_path), StoreMetrics(registry))
        assert await store.create("a", [b"1"])
        assert not await store.create("a", [b"2"])
        assert await store.get("a") == b"1"
        assert await store.get("b") is None
        assert await store.get_range("a", 0, 9) == b"1"
        found = await store.get_versioned("a")
        assert found is not None
        assert await store.replace("a", b"3", found[1])
        assert await store.replace("a", b"4", found[1]) is None
        assert [name async for name in store.names("")] == ["a"]
        await store.delete("a")
        await asyncio.to_thread(tmp_path.rename, tmp_path.with_name("gone"))
        with pytest.raises(StoreUnavailable):
            await store.get("a")
        await store.close()

    asyncio.run(story())
    counts = {
        (sample.labels["operation"], sample.labels["outcome"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "headrace_store_seconds_count"
    }
    assert counts == {
        ("create", "ok"): 1,
        ("create", "refused"): 1,
        ("get", "ok"): 1,
        ("get", "refused"): 1,
        ("get", "unavailable"): 1,
        ("get_range", "ok"): 1,
        ("get_versioned", "ok"): 1,
        ("replace", "ok"): 1,
        ("replace", "refused"): 1,
        ("names", "ok"): 1,
        ("delete", "ok"): 1,
    }
