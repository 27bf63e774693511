"""The store's door: the same answers from a folder and from Azure's emulator."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from batching.errors import CorruptObject, SettingError, StoreUnavailable
from flows.azure_store import ACCOUNT_KEY, CONNECTION_STRING, split_azure
from flows.store import FolderStore, Store, open_store


@pytest.fixture(params=["folder", pytest.param("azure", marks=pytest.mark.azurite)])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        (tmp_path / "a b").mkdir()
        return open_store((tmp_path / "a b").as_uri())
    return request.getfixturevalue("azure_store")


def test_what_was_created_is_read_back_and_never_replaced(store: Store) -> None:
    assert store.get("runs/j/0.json") is None
    assert store.create("runs/j/0.json", b"first")
    assert not store.create("runs/j/0.json", b"second")
    assert bytes(store.get("runs/j/0.json")) == b"first"


def test_an_empty_object_and_a_large_view_are_kept(store: Store) -> None:
    large = memoryview(os.urandom(5 * 2**20))
    assert store.create("outputs/empty", b"")
    assert store.create("outputs/large", large)
    assert bytes(store.get("outputs/empty")) == b""
    assert bytes(store.get("outputs/large")) == large


def test_of_many_creators_at_once_one_wins(store: Store) -> None:
    bodies = [str(i).encode() for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda body: store.create("results/j/0.json", body), bodies))
    assert created.count(True) == 1
    assert bytes(store.get("results/j/0.json")) == bodies[created.index(True)]


def test_listing_is_in_order_and_knows_folders(store: Store) -> None:
    for name in ("runs/b/1.json", "runs/a/2.json", "runs/a/10.json", "runs/a/1.x/y", "runsx"):
        store.create(name, b"")
    assert list(store.names("runs/a/1")) == ["runs/a/1.x/y", "runs/a/10.json"]
    assert list(store.names("runs/")) == sorted(store.names("runs/"))
    assert list(store.names("runs")) == [*store.names("runs/"), "runsx"]
    assert list(store.names("")) == list(store.names("runs"))
    assert list(store.names("nothing/")) == []
    assert list(store.folders("runs/")) == ["a", "b"]
    assert list(store.folders("nothing/")) == []


def test_deleting_twice_is_fine(store: Store) -> None:
    store.create("outputs/j/x", b"1")
    store.delete("outputs/j/x")
    store.delete("outputs/j/x")
    assert store.get("outputs/j/x") is None
    assert store.create("outputs/j/x", b"2")


def test_a_store_is_found_again_by_its_uri(store: Store) -> None:
    store.create("x", b"1")
    assert bytes(open_store(store.uri).get("x")) == b"1"


def test_a_folder_leaves_no_temporary_files(tmp_path) -> None:
    store = FolderStore(tmp_path)
    store.create("a/b", b"1")
    store.create("a/b", b"2")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_a_folder_hides_what_the_service_keeps_beside_objects(tmp_path) -> None:
    store = FolderStore(tmp_path)
    store.create("runs/j/0.json", b"")
    (tmp_path / "runs/j/.headrace-lock-1").touch()
    assert list(store.names("runs/")) == ["runs/j/0.json"]


def test_a_folder_that_is_gone_is_not_made_again(tmp_path) -> None:
    store = FolderStore(tmp_path / "gone")
    with pytest.raises(StoreUnavailable, match="creating results/x"):
        store.create("results/x", b"")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a//b", "a/./b", ""])
def test_a_name_cannot_leave_the_folder(tmp_path, name) -> None:
    with pytest.raises(CorruptObject, match="cannot be the name"):
        FolderStore(tmp_path).get(name)


@pytest.mark.azurite
def test_a_connection_string_must_be_for_the_account_of_the_data(
    azurite, azure_store, monkeypatch
) -> None:
    monkeypatch.setenv(CONNECTION_STRING, azurite.connection_string)
    assert open_store(azure_store.uri).create("x", b"1")
    with pytest.raises(SettingError, match=r"the data is in https://other\.blob") as refused:
        open_store("https://other.blob.core.windows.net/c")
    assert azurite.key not in str(refused.value)


def test_a_connection_string_that_is_none_is_told_without_its_text(monkeypatch) -> None:
    monkeypatch.setenv(CONNECTION_STRING, "AccountKey=c2VjcmV0")
    with pytest.raises(SettingError, match=f"{CONNECTION_STRING} cannot be read") as refused:
        open_store("https://a.blob.core.windows.net/c")
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.azurite
def test_a_wrong_key_is_told_without_the_key(azurite, azure_store, monkeypatch) -> None:
    monkeypatch.setenv(ACCOUNT_KEY, "d3Jvbmc=")
    with pytest.raises(StoreUnavailable, match="reading x in Azure") as refused:
        open_store(azure_store.uri).get("x")
    assert "d3Jvbmc" not in str(refused.value)


def test_without_the_azure_packages_a_folder_works_and_azure_says_what_to_install(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "flows.azure_store", None)  # as an import that fails
    assert open_store(tmp_path.as_uri()).create("x", b"1")
    with pytest.raises(SettingError, match="pip install azure-storage-blob azure-identity"):
        open_store("https://a.blob.core.windows.net/c")


@pytest.mark.parametrize("uri", ["data", "s3://bucket/x", "file://host/x", "https://account"])
def test_what_is_no_root_is_refused_by_name(uri) -> None:
    with pytest.raises(SettingError, match="store"):
        open_store(uri)


@pytest.mark.parametrize(
    ("uri", "account", "container", "prefix"),
    [
        ("https://a.blob.core.windows.net/c", "https://a.blob.core.windows.net", "c", ""),
        ("https://a.blob.core.windows.net/c/p/q", "https://a.blob.core.windows.net", "c", "p/q/"),
        ("http://127.0.0.1:1/dev/c/p", "http://127.0.0.1:1/dev", "c", "p/"),
        ("http://localhost:1/dev/c", "http://localhost:1/dev", "c", ""),
    ],
)
def test_an_azure_root_is_taken_apart(uri, account, container, prefix) -> None:
    assert split_azure(uri) == (account, container, prefix)
