"""Uploads an export to a dataset repository of the hub, by the hub's own client."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # re-exports of its HTTP library
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from pipeline.export.export_media import MEDIA_FOLDER
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.runtime.errors import ConfigError, StorageError
from pipeline.store.object_store import Store

_MEDIA_A_COMMIT = 1_000
_FILES_AT_ONCE = 16
_PIECE_BYTES = 16 * 2**20


def push(output: Store, record: ExportRecord, repo: str, *, private: bool) -> dict[str, Any]:
    """Uploads an export.

    Media files go first. Rows, card and record come in one commit at the end: readers of the
    dataset see what was there before, or all of it.

    Args:
        output: the output root.
        record: of the export.
        repo: such as ``team/labels``; created if it does not exist.
        private: whether only its owners may read it, if it is created.

    Returns:
        The fields to report.

    Raises:
        ConfigError: the hub refuses the name, or these credentials.
        StorageError: the hub or the store cannot be reached.
    """
    api = HfApi()
    upload = _Upload(api, output, record, repo)
    try:
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        media = [entry.key for entry in output.list(f"{record.folder}/{MEDIA_FOLDER}")]
        for start in range(0, len(media), _MEDIA_A_COMMIT):
            upload.commit(media[start : start + _MEDIA_A_COMMIT], "Media")
        names = [NAME, *record.beside, *(file["path"] for file in record.files)]
        keys = [f"{record.folder}/{name}" for name in names]
        upload.commit(keys, f"Export of snapshot {record.snapshot_id}, {record.format}")
    except HFValidationError as error:
        raise ConfigError(f"--push-to-hub {repo}: {error}") from error
    except LocalTokenNotFoundError as error:
        raise ConfigError(f"--push-to-hub {repo}: no token: set HF_TOKEN ({error})") from error
    except HfHubHTTPError as error:
        raise _refused(api, repo, error) from error
    except (HTTPError, OSError) as error:
        raise StorageError(
            f"{api.endpoint}: the hub cannot be reached ({type(error).__name__}: {error}); nothing "
            "of this export is visible there; run the same command again"
        ) from error
    return {"dataset": str(url), "files": len(keys), "media_files": len(media)}


class _Upload:
    """Commits to one repository."""

    def __init__(self, api: HfApi, output: Store, record: ExportRecord, repo: str) -> None:
        self._api, self._output, self._repo = api, output, repo
        self._prefix = f"{record.folder}/"

    def commit(self, keys: Sequence[str], message: str) -> None:
        """Uploads objects and makes them visible in one commit."""
        additions: list[CommitOperationAdd] = []
        with tempfile.TemporaryDirectory(prefix="pairmill-push-") as scratch:
            for start in range(0, len(keys), _FILES_AT_ONCE):
                copies = {
                    key: Path(scratch, str(start + i))
                    for i, key in enumerate(keys[start : start + _FILES_AT_ONCE])
                }
                some = [
                    CommitOperationAdd(key.removeprefix(self._prefix), self._local(key, copy))
                    for key, copy in copies.items()
                ]
                # Large files are uploaded now, so that few copies are here at a time.
                self._api.preupload_lfs_files(self._repo, some, repo_type="dataset")
                for addition, copy in zip(some, copies.values(), strict=True):
                    if addition.path_or_fileobj == b"":  # it is uploaded
                        copy.unlink(missing_ok=True)
                additions += some
            self._api.create_commit(
                self._repo, additions, commit_message=message, repo_type="dataset"
            )

    def _local(self, key: str, place: Path) -> Path:
        """The object as a file; a copy of one that is not local."""
        if self._output.local:
            return Path(self._output.path(key))
        size = self._output.size(key) or 0
        with place.open("wb") as file:
            for piece in self._pieces(key, size):
                file.write(piece)
        return place

    def _pieces(self, key: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, _PIECE_BYTES):
            yield self._output.read_range(key, start, min(size, start + _PIECE_BYTES))


def _refused(api: HfApi, repo: str, error: HfHubHTTPError) -> ConfigError | StorageError:
    status = error.response.status_code
    message = (str(error).strip().splitlines() or [""])[0]
    if status in (401, 403, 404):
        return ConfigError(
            f"--push-to-hub {repo}: {api.endpoint} refuses ({status}: {message}); give a "
            "token that may write there as HF_TOKEN"
        )
    return StorageError(
        f"--push-to-hub {repo}: {api.endpoint} failed ({status}: {message}); nothing of this "
        "export is visible there; run the same command again"
    )
