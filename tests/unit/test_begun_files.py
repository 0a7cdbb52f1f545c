"""What an export has written of a snapshot that was removed meanwhile goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.export.begun_files import remove_if_forgotten
from pipeline.retention.stored import Stored
from pipeline.retention.stored_exports import stored_exports
from pipeline.runtime.errors import InputError, StorageError
from pipeline.snapshots.manifests import manifest_key
from pipeline.store.object_store import Store


def test_files_of_a_snapshot_that_is_gone_are_removed(tmp_path: Path) -> None:
    store, folder = Store(str(tmp_path)), "exports/ab12/trl-dpo"
    paths = ("data/train-00000.parquet", "media/aa/aa.png")
    for path in (*paths, "data/theirs.parquet"):
        store.put(f"{folder}/{path}", b"rows")
    store.put(manifest_key("ab12"), b"{}")
    remove_if_forgotten(store, folder, "ab12", paths)
    assert len(list(store.list(folder))) == 3
    store.delete(manifest_key("ab12"))
    with pytest.raises(InputError, match=r"ab12/manifest.json: the snapshot was removed while"):
        remove_if_forgotten(store, folder, "ab12", paths)
    assert [entry.key for entry in store.list(folder)] == [f"{folder}/data/theirs.parquet"]


def test_what_a_role_may_not_remove_is_named_for_the_next_forget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, folder = Store(str(tmp_path)), "exports/0123456789abcdef/trl-dpo"
    store.put(f"{folder}/data/train-00000.parquet", b"rows")

    def refused(store: Store, key: str) -> None:
        with store._errors(key):
            raise PermissionError("DeleteObject")

    monkeypatch.setattr(Store, "delete", refused)
    with pytest.raises(StorageError, match=r"1 files, such as data/train-00000.parquet; run"):
        remove_if_forgotten(store, folder, "0123456789abcdef", ["data/train-00000.parquet"])
    (export,) = stored_exports(Stored(store))
    assert [entry.key for entry in export.then] == [f"{folder}/data/train-00000.parquet"]
