"""Uploads an export to a dataset of the hub, in place of what was pushed there before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # re-exports of its HTTP library
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
)

from pipeline.export.export_media import MEDIA_FOLDER
from pipeline.export.export_record import NAME, ExportRecord
from pipeline.export.hub_record import (
    CARD,
    CARD_ENDS,
    PUSHED,
    PushedBefore,
    PushRecord,
    pushed_before,
)
from pipeline.runtime.errors import ConfigError, StorageError
from pipeline.store.object_store import Store

Operation = CommitOperationAdd | CommitOperationDelete

_MEDIA_A_COMMIT = 1_000
_FILES_AT_ONCE = 16
_PIECE_BYTES = 16 * 2**20


def push(output: Store, record: ExportRecord, repo: str, *, private: bool) -> dict[str, Any]:
    """Uploads an export.

    Media files go first. Rows, card and record come in one commit at the end, which also removes
    what earlier pushes wrote and this export has not: readers of the dataset see what was there
    before, or exactly the export. Files that no push wrote stay as they are, and so does what
    people wrote below the card.

    Args:
        output: the output root.
        record: of the export.
        repo: such as ``team/labels``; created if it does not exist.
        private: whether only its owners may read it, if it is created.

    Returns:
        The fields to report.

    Raises:
        ConfigError: the hub refuses the name, or these credentials; or files are there that no
            push wrote, under the names of ours.
        StorageError: the hub or the store cannot be reached.
    """
    api = HfApi()
    names = [*record.beside, NAME, *(file["path"] for file in record.files)]
    media = [
        entry.key.removeprefix(f"{record.folder}/")
        for entry in output.list(f"{record.folder}/{MEDIA_FOLDER}")
    ]
    try:
        url = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        before = pushed_before(api, repo)
        before.refuse_others([*names, PUSHED], repo)
        upload = _Upload(api, output, record, repo, before)
        for start in range(0, len(media), _MEDIA_A_COMMIT):
            upload.add_media(media[start : start + _MEDIA_A_COMMIT], {*names, *media})
        removed = upload.replace(names, {*names, *media})
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
    counts = {"files": len(names), "media_files": len(media), "removed_files": len(removed)}
    return {"dataset": str(url), **counts, "other_files": len(before.paths - before.ours)}


class _Upload:
    """Commits to one repository, each onto the one before: a change by others in between fails."""

    def __init__(
        self, api: HfApi, output: Store, record: ExportRecord, repo: str, before: PushedBefore
    ) -> None:
        self._api, self._output, self._record, self._repo = api, output, record, repo
        self._before, self._parent = before, before.commit

    def add_media(self, media: Sequence[str], ours: Set[str]) -> None:
        """Adds media; the record names from now on what this push and those before wrote."""
        self._commit("Media", media, [self._pushed(ours | self._before.ours)])

    def replace(self, names: Sequence[str], ours: Set[str]) -> list[str]:
        """Adds the other files, and removes what is ours no more; returns its paths."""
        removed = sorted(self._before.ours - {*ours, PUSHED})
        card = self._output.read(f"{self._record.folder}/{CARD}").decode()
        card = f"{card.rstrip()}\n\n{CARD_ENDS}\n{self._before.below_card}"
        message = f"Export of snapshot {self._record.snapshot_id}, {self._record.format}"
        others: list[Operation] = [CommitOperationDelete(path) for path in removed]
        others += [CommitOperationAdd(CARD, card.encode()), self._pushed(ours)]
        self._commit(message, [name for name in names if name != CARD], others)
        return removed

    def _pushed(self, paths: Set[str]) -> Operation:
        record = PushRecord(
            export_id=self._record.export_id,
            snapshot_id=self._record.snapshot_id,
            paths=tuple(sorted({*paths, PUSHED})),
        )
        return CommitOperationAdd(PUSHED, record.to_json())

    def _commit(self, message: str, paths: Sequence[str], others: Sequence[Operation]) -> None:
        """Uploads files of the export, and makes all changes visible in one commit."""
        operations = list(others)
        with tempfile.TemporaryDirectory(prefix="pairmill-push-") as scratch:
            for start in range(0, len(paths), _FILES_AT_ONCE):
                copies = {
                    path: Path(scratch, str(start + i))
                    for i, path in enumerate(paths[start : start + _FILES_AT_ONCE])
                }
                some = [
                    CommitOperationAdd(path, self._local(f"{self._record.folder}/{path}", copy))
                    for path, copy in copies.items()
                ]
                # Large files are uploaded now, so that few copies are here at a time.
                self._api.preupload_lfs_files(self._repo, some, repo_type="dataset")
                for addition, copy in zip(some, copies.values(), strict=True):
                    if addition.path_or_fileobj == b"":  # it is uploaded
                        copy.unlink(missing_ok=True)
                operations += some
            done = self._api.create_commit(
                self._repo,
                operations,
                commit_message=message,
                repo_type="dataset",
                parent_commit=self._parent,
            )
        self._parent = done.oid

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
    if status == 412:
        return StorageError(
            f"--push-to-hub {repo}: the dataset was changed by others meanwhile; nothing of this "
            "export is visible there; run the same command again"
        )
    return StorageError(
        f"--push-to-hub {repo}: {api.endpoint} failed ({status}: {message}); nothing of this "
        "export is visible there; run the same command again"
    )
