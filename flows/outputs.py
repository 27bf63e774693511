"""Where one attempt of a run writes: a folder of its own in the store, each name once."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from batching.errors import SettingError
from flows.store import Store


@dataclass(frozen=True)
class Outputs:
    """Writes below `folder`, such as `outputs/vibration/000000000007.a1/`."""

    store: Store
    folder: str
    closed: bool = False  # the run has its result: nothing is written any more

    @property
    def uri(self) -> str:
        """Where the folder is."""
        return f"{self.store.uri}/{self.folder}"

    def write(self, name: str, body: "bytes | memoryview") -> str:
        """Write an output and give its URI.

        Where the run has its result already, nothing is written. A step that is tried again
        finds what it wrote before: the first one is kept, so what a step writes should
        follow from its batches alone.

        Raises:
            SettingError: the name is empty or leaves the folder.
            StoreUnavailable: the store does not answer.

        """
        if not name or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
            raise SettingError(f"an output needs a name like features.parquet, got {name!r}")
        if not self.closed and not self.store.create(self.folder + name, body):
            print(f"{self.folder}{name} is there already and stays as it is")  # noqa: T201
        return self.uri + name

    def write_table(self, name: str, table: Any) -> str:
        """Write a pyarrow Table as Parquet and give its URI."""
        import pyarrow.parquet as pq  # noqa: PLC0415  # 50 ms that readers need not wait for

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return self.write(name, memoryview(sink.getvalue()))

    def discard(self) -> int:
        """Delete all that this attempt wrote; give how many there were."""
        written = list(self.store.names(self.folder))
        for name in written:
            self.store.delete(name)
        return len(written)
