"""Which files of a dataset of the hub are ours: ``pushed.json``, committed along with them.

Every commit that adds files names them in it, so that whatever a push wrote, one that was killed
too, is known to the next one. What it does not name is somebody else's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi

from pipeline.export.export_record import NAME, ExportRecord
from pipeline.runtime.errors import ConfigError, InputError
from schemas.contract import ContractError
from schemas.records import Record

PUSHED = "pushed.json"
CARD = "README.md"
# Below it a card on the hub has what people wrote there.
CARD_ENDS = "<!-- pairmill replaces what is above this line, and keeps what is below it -->"


@dataclass(frozen=True)
class PushRecord(Record):
    """What pushes wrote to a dataset.

    Attributes:
        export_id, snapshot_id: of the export that was pushed last.
        paths: of all files that may be there; of all that are, once a push has ended.
    """

    version: Literal["push/v1"] = field(default="push/v1", kw_only=True)
    export_id: str
    snapshot_id: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class PushedBefore:
    """A dataset at one commit.

    Attributes:
        commit: its hash.
        paths: of all files.
        ours: those of them that pushes wrote.
        below_card: what people wrote below our card.
    """

    commit: str
    paths: frozenset[str]
    ours: frozenset[str]
    below_card: str

    def refuse_others(self, names: Collection[str], repo: str) -> None:
        """Refuses to replace files that no push wrote.

        Raises:
            ConfigError: some of ``names`` are such files.
        """
        if others := sorted((self.paths - self.ours).intersection(names)):
            raise ConfigError(
                f"--push-to-hub {repo}: {', '.join(others)} would be replaced, and "
                f"{'was' if len(others) == 1 else 'were'} not written by a push (there is no "
                f"{PUSHED} that says so); push to another dataset, or rename what is there"
            )


def pushed_before(api: HfApi, repo: str) -> PushedBefore:
    """What a dataset holds now.

    Raises:
        ConfigError: its record of pushes cannot be read.
    """
    commit = str(api.dataset_info(repo).sha)
    paths = frozenset(api.list_repo_files(repo, repo_type="dataset", revision=commit))
    with tempfile.TemporaryDirectory(prefix="pairmill-push-") as scratch:

        def read(path: str) -> bytes | None:
            if path not in paths:
                return None
            found = api.hf_hub_download(
                repo, path, repo_type="dataset", revision=commit, local_dir=scratch
            )
            return Path(found).read_bytes()

        where = f"{api.endpoint}/datasets/{repo}"
        ours = paths & _named(where, read(PUSHED), read(NAME))
        card = read(CARD) if CARD in ours else None
    _, _, below = (card or b"").decode(errors="replace").partition(f"{CARD_ENDS}\n")
    return PushedBefore(commit, paths, ours, below)


def _named(where: str, pushed: bytes | None, exported: bytes | None) -> frozenset[str]:
    """The paths that the record names; without one, those of an export that is there.

    Earlier versions pushed ``export.json`` alone, which names all files but media.
    """
    try:
        if pushed is not None:
            return frozenset(PushRecord.parse(pushed, f"{where}/{PUSHED}").paths)
        if exported is None:
            return frozenset()
        record = ExportRecord.parse(exported, f"{where}/{NAME}")
    except (ContractError, InputError) as error:
        raise ConfigError(f"{error}; or push to another dataset") from error
    return frozenset([NAME, *record.beside, *(file["path"] for file in record.files)])
