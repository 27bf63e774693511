import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching.adapters import folder, turns
from batching.adapters.folder import LEFTOVER_SECONDS, FolderStore
from batching.errors import SettingError, StoreUnavailable
from tests.batching.adapters.places import Folder, tell

SEGMENTS = st.text(alphabet="ab01-._ %", min_size=1, max_size=4).filter(
    lambda word: word not in (".", "..")
)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
Story = Callable[[FolderStore], Awaitable[None]]


def test_the_uri_is_a_file_uri_of_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def story(store: FolderStore) -> None:
        assert store.uri == f"{tmp_path.as_uri()}/my%20data"
        assert store.root == tmp_path / "my data"

    tell(Folder(Path("my data")), story)


@settings(max_examples=60, deadline=None)
@given(names=st.sets(NAMES, max_size=12), prefix=NAMES | st.just(""), after=NAMES | st.just(""))
def test_any_names_come_in_order(
    names: set[str], prefix: str, after: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = [name for name in names if not any(n.startswith(f"{name}/") for n in names)]

    async def story(store: FolderStore) -> None:
        for name in kept:
            assert await store.create(name, [b""])
        listed = [name async for name in store.names(prefix, after)]
        assert listed == sorted(n for n in kept if n.startswith(prefix) and n > after)

    tell(Folder(tmp_path_factory.mktemp("names")), story)


def test_folders_before_after_are_not_even_opened(tmp_path: Path) -> None:
    async def story(store: FolderStore) -> None:
        for block in range(3):
            await store.create(f"log/{block:08d}/{block}.json", [b""])
        opened: list[str] = []
        entries = store._entries
        store._entries = lambda *words: opened.append(words[0]) or entries(*words)  # type: ignore[func-returns-value, method-assign]
        listed = [n async for n in store.names("log/", "log/00000001/1.json")]
        assert listed == ["log/00000002/2.json"]
        assert opened == ["log/", "log/00000001/", "log/00000002/"]

    tell(Folder(tmp_path), story)


def test_temporary_and_lock_files_are_never_listed(tmp_path: Path) -> None:
    async def story(store: FolderStore) -> None:
        version = await store.replace("a/n", b"1", None)
        await store.replace("a/n", b"2", version)
        (tmp_path / "a/.headrace-tmp-1").write_bytes(b"")
        hidden = [name for name in os.listdir(tmp_path / "a") if name.startswith(".headrace-")]  # noqa: PTH208
        assert len(hidden) == 2
        assert [name async for name in store.names("")] == ["a/n"]
        assert [name async for name in store.names("a/.")] == []

    tell(Folder(tmp_path), story)


def test_old_leftovers_are_swept_at_start_and_young_ones_are_not(tmp_path: Path) -> None:
    old, young = tmp_path / "a/.headrace-tmp-old", tmp_path / "a/.headrace-tmp-young"
    old.parent.mkdir()
    for path in (old, young, tmp_path / "a/old-object"):
        path.write_bytes(b"")
        if path != young:
            os.utime(path, (0, time.time() - LEFTOVER_SECONDS - 5))
    tell(Folder(tmp_path), sleep_until(lambda: not old.exists()))
    assert sorted(path.name for path in old.parent.iterdir()) == [young.name, "old-object"]


def sleep_until(holds: Callable[[], bool]) -> Story:
    async def story(_store: FolderStore) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - a file system sets no event
                await asyncio.sleep(0.01)

    return story


def test_a_root_that_cannot_be_used_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(SettingError, match=r"blobs.folder: .* cannot be used"):
            FolderStore(root)


def test_a_file_system_without_hard_links_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(SettingError, match="no hard links"):
        FolderStore(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_root_that_may_not_be_written_is_a_setting_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingError, match="Permission denied; let this user write there"):
        FolderStore(tmp_path)


def test_reading_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no store yet"):
        FolderStore(tmp_path / "missing", read_only=True)
    assert list(tmp_path.iterdir()) == []
    store = FolderStore(tmp_path, read_only=True)
    assert asyncio.run(store.get("n")) is None
    asyncio.run(store.close())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_operation_and_name_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(store: FolderStore) -> None:
        with at_most(2**20), pytest.raises(StoreUnavailable, match=r"create data/big in .*: File"):
            await store.create("data/big", [b"x" * 2**21])
        assert await store.get("data/big") is None
        assert await asyncio.to_thread(lambda: list((tmp_path / "data").iterdir())) == []
        assert await store.create("data/big", [b"x" * 2**21])

    tell(Folder(tmp_path), story)


@contextlib.contextmanager
def at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse larger files, as it refuses all of them when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_create_whose_answer_was_lost_looks_like_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(store: FolderStore) -> None:
        await store.create("log/0", [b"first"])

        def fail(_folder: Path) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(folder, "sync_folder", fail)
            with pytest.raises(StoreUnavailable, match="create log/1"):
                await store.create("log/1", [b"ours"])
        assert not await store.create("log/1", [b"ours"])
        assert await store.get("log/1") == b"ours"

    tell(Folder(tmp_path), story)


def test_a_store_whose_folder_is_gone_does_not_answer_and_is_not_made_again(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"

    async def story(store: FolderStore) -> None:
        version = await store.replace("a/n", b"1", None)
        await asyncio.to_thread(root.rename, tmp_path / "elsewhere")
        for call in (
            store.get("a/n"),
            store.get_range("a/n", 0, 1),
            store.get_versioned("a/n"),
            store.create("a/m", [b""]),
            store.replace("a/n", b"2", version),
            anext(store.names("a/")),
        ):
            with pytest.raises(StoreUnavailable):
                await call
        assert not await asyncio.to_thread(root.exists)

    tell(Folder(root), story)


def test_a_lock_that_a_stopped_process_holds_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.2)

    async def story(store: FolderStore) -> None:
        version = await store.replace("n", b"1", None)
        version = await store.replace("n", b"2", version)
        [lock] = await asyncio.to_thread(lambda: list(tmp_path.glob(".headrace-lock-*")))
        with await asyncio.to_thread(lock.open) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            version = await store.replace("n", b"3", version)
            assert version is not None
        assert await store.replace("n", b"4", version) is not None
        assert [name async for name in store.names("")] == ["n"]

    tell(Folder(tmp_path), story)


def test_a_folder_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    async def story(store: FolderStore) -> None:
        await store.create("a/b/1", [b""])
        await store.delete("a/b/1")
        await asyncio.to_thread((tmp_path / "a/b").rmdir)
        await asyncio.to_thread((tmp_path / "a").rmdir)
        assert await store.create("a/b/2", [b""])

    tell(Folder(tmp_path), story)
