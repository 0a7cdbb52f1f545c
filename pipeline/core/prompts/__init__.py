"""The judge's prompts: text files beside this module, filled in one pass and hashed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Prompt:
    """A system text and a template of the user's text.

    Attributes:
        name: the folder that holds ``system.txt`` and ``user.txt``.
    """

    name: str
    system: str
    user: str

    def fill(self, **values: str) -> str:
        """Fills the user's text in one pass: braces inside a value stay what they are.

        Raises:
            KeyError: the template names a placeholder that is not given.
        """
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.user)


@cache
def load_prompt(name: str) -> Prompt:
    """Loads the prompt of a judging format, such as ``"pairwise_scores"``."""
    folder = Path(__file__).parent / name
    return Prompt(
        name=name,
        system=(folder / "system.txt").read_text(encoding="utf-8"),
        user=(folder / "user.txt").read_text(encoding="utf-8"),
    )
