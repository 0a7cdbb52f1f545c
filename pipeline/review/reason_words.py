"""Why a row is in quarantine, in words, and what to do."""

from __future__ import annotations

from schemas.labels import Reason

_AGAIN = "then pairmill label --retry-quarantined"
_FIX = "fix the data: the row is judged when its shard changes"

REASONS: dict[str, tuple[str, str]] = {
    Reason.MALFORMED: (
        "No reply within the budget was a verdict of this judge's grammar.",
        f"Read the votes below: raise judge.votes.max_votes, or change the prompt; {_AGAIN}.",
    ),
    Reason.TRUNCATED: (
        "Replies ended at the length limit before their verdict.",
        f"Raise judge.sampling.max_tokens; {_AGAIN}.",
    ),
    Reason.REFUSED: (
        "The judge refused to answer.",
        f"Read the votes below; {_AGAIN} asks with other seeds.",
    ),
    Reason.OUT_OF_RANGE: (
        "The judge gave scores outside of its scale.",
        f"Read the votes below; {_AGAIN} asks with other seeds.",
    ),
    Reason.MEDIA_MISSING: ("A picture or clip is not where the pair says it is.", _FIX),
    Reason.MEDIA_CORRUPT: ("A picture or clip is damaged or incomplete.", _FIX),
    Reason.MEDIA_TOO_LARGE: (
        "A picture or clip is beyond the limits of size or decoding time.",
        f"Fix the data, or raise judge.media.max_bytes or max_decoded_pixels; {_AGAIN}.",
    ),
    Reason.MEDIA_FORBIDDEN: (
        "A picture or clip lies outside of what may be read, or access to it is denied.",
        f"Add its folder to input.media_roots, or grant the right; {_AGAIN}.",
    ),
    Reason.MEDIA_UNSUPPORTED: (
        "The bytes are no picture or clip that can be shown to the judge.",
        "Convert it as the detail says: a changed shard is judged again.",
    ),
    Reason.TOO_LONG: (
        "The pair is longer than the judge's context.",
        f"Raise judge.model.max_model_len, or shorten the pair; {_AGAIN}.",
    ),
    Reason.ENGINE_KILLED: (
        "Its worker died each time this row was judged alone.",
        f"Look at the worker's log; with another engine version, {_AGAIN}.",
    ),
    Reason.TIMEOUT: (
        "The engine gave no reply in time.",
        f"Raise engine.request_timeout_s; {_AGAIN}.",
    ),
    Reason.BAD_ROW: ("The row is not a pair: a field is missing or has another type.", _FIX),
    Reason.FORGOTTEN: ("The pair was taken down by pairmill forget.", "Nothing."),
}
"""What each reason means, and what to do; of every reason."""
