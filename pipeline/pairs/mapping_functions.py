"""The functions that a mapping's expressions may call besides those of JMESPath.

Each takes null where it takes a value, and answers null then. What cannot be answered raises
``Unfit`` and costs its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from jmespath.functions import Functions, signature

from pipeline.pairs.arrow_values import value_of_json
from pipeline.pairs.conversations import (
    TURNS,
    Unfit,
    as_messages,
    content,
    is_message,
    message,
    messages,
    number,
    rows_of,
    scores,
    text,
    turns,
    unfit,
    written,
)

_Method = TypeVar("_Method", bound=Callable[..., Any])
_SET = {"1", "1.0", "true"}
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def _takes(count: int, or_more: bool = False) -> Callable[[_Method], _Method]:
    """Declares how many arguments a function takes; of what kind, it says itself."""
    arguments: list[dict[str, Any]] = [{"types": []} for _ in range(count)]
    if or_more:
        arguments[-1]["variadic"] = True
    declare: Callable[[_Method], _Method] = signature(*arguments)
    return declare


class PairFunctions(Functions):  # type: ignore[misc]  # jmespath has no types
    """JMESPath's functions and those of DESIGN's "Input"."""

    @_takes(1)
    def _func_last_user(self, said: Any) -> Any:
        """last_user(m): the content of the last message by the user."""
        found = [each for each in messages(said) if each["role"] == "user"]
        return found[-1]["content"] if found else None

    @_takes(1)
    def _func_before_last(self, said: Any) -> Any:
        """before_last(m): all messages but the last one."""
        return None if said is None else _conversation(said)[:-1]

    @_takes(2)
    def _func_common_prefix(self, a: Any, b: Any) -> Any:
        """common_prefix(a, b): the messages with which both conversations begin."""
        if a is None or b is None:
            return None
        first, second = _conversation(a, answered=True), _conversation(b, answered=True)
        return first[: _shared(first, second)]

    @_takes(2)
    def _func_after_prefix(self, a: Any, b: Any) -> Any:
        """after_prefix(a, b): the messages of a after those with which both begin."""
        if a is None or b is None:
            return None
        first, second = _conversation(a, answered=True), _conversation(b, answered=True)
        return first[_shared(first, second) :]

    @_takes(2)
    def _func_rounds(self, said: Any, count: Any) -> Any:
        """rounds(m, n): the messages up to the n-th answer; all of them if n is null."""
        most = number(count)
        if said is None or most is None:
            return said
        found = _conversation(said)
        ends = [at for at, each in enumerate(found, 1) if each["role"] == "assistant"]
        if most != int(most) or not 1 <= most <= len(ends):
            raise unfit(count, f"one of its {len(ends)} rounds")
        return found[: ends[int(most) - 1]]

    @_takes(1)
    def _func_whole(self, said: Any) -> Any:
        """whole(m): whether a conversation begins before the answer, with another's message."""
        if isinstance(said, str):
            return said.startswith(TURNS)
        said = as_messages(said)
        if not isinstance(said, list) or not said or not is_message(said[0]):
            return False
        first = messages(said[0])  # none of an object of empty lists
        return bool(first) and first[0]["role"] != "assistant"

    @_takes(1)
    def _func_turns(self, said: Any) -> Any:
        """turns(s): the messages of a text of "Human:" and "Assistant:" turns."""
        return None if said is None else _conversation(text(said))

    @_takes(2)
    def _func_dialogue(self, asked: Any, answered: Any) -> Any:
        """dialogue(x, y): messages of the user's and the assistant's texts in turn.

        Both are lists, or texts of JSON that hold lists; otherwise each is one message.
        """
        if asked is None or answered is None:
            return None
        asked, answered = _texts_in_json(asked), _texts_in_json(answered)
        if not (isinstance(asked, list) and isinstance(answered, list)):
            return [*messages(asked), {"role": "assistant", "content": content(answered)}]
        if len(asked) != len(answered):
            raise Unfit(f"got {len(asked)} questions and {len(answered)} answers, expected as many")
        return [
            {"role": role, "content": content(each)}
            for turn in zip(asked, answered, strict=True)
            for role, each in zip(("user", "assistant"), turn, strict=True)
        ]

    @_takes(2)
    def _func_winner(self, x: Any, y: Any) -> Any:
        """winner(x, y): a, b or tie by two scores, the higher the better."""
        first, second = number(x), number(y)
        if first is None or second is None:
            return None
        return "tie" if first == second else "a" if first > second else "b"

    @_takes(1)
    def _func_winner_of_ranks(self, ranks: Any) -> Any:
        """winner_of_ranks(list): a, b or tie by two ranks, 1 (or 0) the best."""
        read = _ranks(ranks)
        if read is None:
            return None
        if len(read) != 2:
            raise unfit(ranks, "two ranks")
        return None if None in read else self._func_winner(read[1], read[0])

    @_takes(1)
    def _func_scores_of_ranks(self, ranks: Any) -> Any:
        """scores_of_ranks(list): for each rank a score, the higher the better."""
        read = _ranks(ranks)
        return read and [None if rank is None else len(read) - rank for rank in read]

    @_takes(1)
    def _func_majority(self, votes: Any) -> Any:
        """majority(list): the value that more than half of the list's values have, or null."""
        cast = [each for each in _listed(votes or []) if each is not None]
        by_text = {written(each): each for each in cast}
        winners = Counter(map(written, cast)).most_common(1)
        return by_text[winners[0][0]] if winners and 2 * winners[0][1] > len(cast) else None

    @_takes(2, or_more=True)
    def _func_one_hot(self, *flags: Any) -> Any:
        """one_hot(a, b[, tie]): a, b or tie, whichever flag (1, true) is the only one set."""
        names = ("a", "b", "tie", "tie")
        if len(flags) > len(names):
            raise Unfit(f"one_hot: got {len(flags)} flags, expected 2 to {len(names)}")
        if all(flag is None for flag in flags):
            return None
        if set(map(written, flags)) - {"0", "0.0", "false", None} - _SET:
            raise unfit(list(flags), "flags of 0 and 1, or of true and false")
        chosen = [n for n, f in zip(names, flags, strict=False) if written(f) in _SET]
        if len(chosen) != 1:
            raise Unfit(f"got {len(chosen)} flags that are set, expected one")
        return chosen[0]

    @_takes(2)
    def _func_recode(self, value: Any, table: Any) -> Any:
        """recode(value, table): what the table has for a value, which it must list."""
        if not isinstance(table, Mapping):
            raise unfit(table, "an object of values by code")
        if value is None:
            return None
        key = written(value)
        whole = isinstance(value, float) and value.is_integer()
        for each in (key, str(int(value)) if whole else key):
            if each in table:
                return table[each]
        raise unfit(value, f"one of {', '.join(table)}")

    @_takes(2)
    def _func_one_of(self, x: Any, y: Any) -> Any:
        """one_of(x, y): whichever is there and not empty."""
        if x and y:
            raise Unfit("both are given, expected one of them")
        return x or y

    @_takes(1)
    def _func_items(self, value: Any) -> Any:
        """items(x): a list's items; of an object of lists, objects of one item of each list."""
        if not isinstance(value, Mapping):
            return _listed(value or [])
        return rows_of(value)

    @_takes(1)
    def _func_mean(self, values: Any) -> Any:
        """mean(list): the mean of numbers; null where one of them is none."""
        found = scores(_listed(values))
        return None if None in found or not found else sum(filter(None, found)) / len(found)

    @_takes(1)
    def _func_text(self, parts: Any) -> Any:
        """text(parts): the texts of a message or content, without its media."""
        held = _content(parts)
        return None if held is None else "".join(p["text"] for p in held if p["type"] == "text")

    @_takes(1)
    def _func_media(self, parts: Any) -> Any:
        """media(parts): the pictures and clips of a message or content, as parts."""
        return [part for part in _content(parts) or () if part["type"] != "text"]

    @_takes(1)
    def _func_image(self, value: Any) -> Any:
        """image(x): a path, address or bytes as a picture; of a list, each."""
        return _as_parts("image", value)

    @_takes(1)
    def _func_video(self, value: Any) -> Any:
        """video(x): a path, address or bytes as a clip; of a list, each."""
        return _as_parts("video", value)

    @_takes(1)
    def _func_pictures_or_texts(self, values: Any) -> Any:
        """pictures_or_texts(list): pictures if every item is the path of one, or else texts."""
        named = [v for v in _listed(values or []) if v is not None]
        paths = all(isinstance(v, str) and v.lower().endswith(_PICTURES) for v in named)
        return _as_parts("image", values) if named and paths else values

    @_takes(1)
    def _func_json(self, value: Any) -> Any:
        """json(s): what a text of JSON holds; what is no text already is as it is."""
        if not isinstance(value, str):
            return value
        try:
            return value_of_json(value)
        except (ValueError, RecursionError) as error:
            raise unfit(value, "a text of JSON") from error

    @_takes(1, or_more=True)
    def _func_join(self, *given: Any) -> Any:
        """join(list) or join(glue, list): texts that are there and not empty, in lines."""
        glue, pieces = given if len(given) == 2 else ("\n", given[0])
        if not isinstance(glue, str) or len(given) > 2:
            raise Unfit("join: expected a list, or a text and a list")
        texts = [text(each) for each in _listed(pieces or [])]
        return glue.join(each for each in texts if each) if any(texts) else None


FUNCTIONS = PairFunctions()
_NAMES: Mapping[str, Any] = PairFunctions.FUNCTION_TABLE


def arity_problem(name: str, count: int) -> str | None:
    """Why a function cannot be called with so many arguments; None if it can."""
    if name not in _NAMES:
        return f"there is no function {name}; expected one of {', '.join(sorted(_NAMES))}"
    expected = _NAMES[name]["signature"]
    least = len(expected)
    if expected and expected[-1].get("variadic"):
        return None if count >= least else f"{name} takes {least} arguments or more, got {count}"
    return None if count == least else f"{name} takes {least} arguments, got {count}"


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise unfit(value, "a list")
    return value


def _conversation(value: Any, *, answered: bool = False) -> list[dict[str, Any]]:
    """A conversation's messages, also of a text of turns."""
    return messages(turns(value, answered=answered) if isinstance(value, str) else value)


def _texts_in_json(value: Any) -> Any:
    """The list that a text of JSON holds, if it holds a list of texts and nulls."""
    if not isinstance(value, str) or not value.startswith("["):
        return value
    try:
        found = value_of_json(value)
    except (ValueError, RecursionError):
        return value
    of_texts = isinstance(found, list) and all(isinstance(each, str | None) for each in found)
    return found if of_texts else value


def _shared(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many first messages are the same; each conversation keeps one of its own."""
    most = max(0, min(len(a), len(b)) - 1)
    return next((n for n in range(most) if a[n] != b[n]), most)


def _ranks(value: Any) -> list[int | None] | None:
    """Ranks from 1 (or from 0), nulls among them, of which the lowest is the best.

    Raises:
        Unfit: what cannot be ranks, such as scores in which 9 is better than 1.
    """
    if value is None:
        return None
    found = [number(each) for each in _listed(value)]
    known = [rank for rank in found if rank is not None]
    if any(rank != int(rank) or not 0 <= rank <= len(found) for rank in known) or (
        0 in known and len(found) in known
    ):
        raise unfit(value, f"ranks from 1 to {len(found)}, 1 the best; of scores, take winner")
    return [None if rank is None else int(rank) for rank in found]


def _content(value: Any) -> list[dict[str, Any]] | None:
    if value is None:
        return None
    return list(message(value)["content"]) if is_message(value) else content(value)


def _as_parts(kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_as_parts(kind, each) for each in value]
    return None if value is None else {"type": kind, kind: value}
