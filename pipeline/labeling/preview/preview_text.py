"""A preview on a terminal: the judge's turn in order, pictures in blocks of colour."""

from __future__ import annotations

from PIL import Image
from rich.console import Console
from rich.text import Text

from pipeline.engines.engine import Chat, ChatPart
from pipeline.labeling.preview.preview_pairs import Preview, PreviewedPair
from pipeline.media.clip import Clip
from pipeline.runtime.printable import one_line, printable

_COLUMNS = 32  # of a picture
_BRIEF = 300  # characters of a turn's beginning, and of its end


def print_preview(preview: Preview, console: Console) -> None:
    """Writes a preview; pictures are drawn where the terminal has colours."""
    console.print(Text(f"{one_line(preview.input_uri)}: {preview.shards} shards"))
    for column, fields in preview.reads.items():
        read = f"read for {', '.join(fields)}" if fields else "not read"
        console.print(Text(f"  {one_line(column)}: {read}"))
    for pair in preview.pairs:
        console.print()
        _print_pair(pair, console)


def _print_pair(pair: PreviewedPair, console: Console) -> None:
    title = f"{pair.shard}, row {pair.row}, pair {pair.pair_id}"
    console.print(Text(one_line(title), style="bold"))
    console.print(Text(one_line(f"gold: {pair.gold or 'none'}; source: {pair.source or 'none'}")))
    if pair.chat is None:
        console.print(Text(printable(f"not judged: {pair.problem}"), style="red"))
        return
    console.print(f"{pair.tokens:,} tokens; candidates in the order {', '.join(pair.order)}")
    for role, parts in turns(pair.chat):
        console.print(Text(f"--- {role}", style="cyan"))
        for part in parts:
            console.print(_shown(part, console))


def brief(pair: PreviewedPair) -> str:
    """How a pair reads, in a few lines: its place, and beginning and end of the user's turn."""
    where = one_line(f"{pair.shard}, row {pair.row}")
    if pair.chat is None:
        return printable(f"{where}, is not judged: {pair.problem}")
    shown = (part if isinstance(part, str) else f"[{caption(part)}]" for part in pair.chat.parts)
    text = "".join(shown)
    if len(text) > 2 * _BRIEF:
        text = f"{text[:_BRIEF]}\n[… {len(text) - 2 * _BRIEF:,} characters …]\n{text[-_BRIEF:]}"
    return printable(f"{where}, reads:\n{text}")


def turns(chat: Chat) -> list[tuple[str, tuple[ChatPart, ...]]]:
    """The turns of a chat in order, each with its role and its parts."""
    begun: list[tuple[str, tuple[ChatPart, ...]]] = []
    if chat.reply_prefix:
        begun = [("the judge's reply begins with", (chat.reply_prefix,))]
    if chat.answer is not None:
        begun = [("assistant", (chat.answer,))]
    system = [] if chat.system is None else [("system", (chat.system,))]
    return [*system, ("user", chat.parts), *begun]


def caption(part: Image.Image | Clip) -> str:
    """What a picture or a clip is, in words."""
    if isinstance(part, Clip):
        first = part.frames[0]
        return f"clip, {len(part.frames)} frames of {first.width} by {first.height}, the first one"
    return f"picture, {part.width} by {part.height}"


def picture_of(part: Image.Image | Clip) -> Image.Image:
    """A picture, or the first frame of a clip."""
    return part.frames[0] if isinstance(part, Clip) else part


def _shown(part: ChatPart, console: Console) -> Text:
    if isinstance(part, str):
        return Text(printable(part))
    text = Text(f"[{caption(part)}]", style="magenta")
    return text.append_text(_blocks(picture_of(part))) if console.color_system else text


def _blocks(picture: Image.Image) -> Text:
    """A picture of half blocks: two pixels a character, one above the other."""
    rows = max(1, round(_COLUMNS * picture.height / picture.width / 2)) * 2
    small = picture.resize((_COLUMNS, min(rows, 2 * _COLUMNS)), Image.Resampling.BOX)
    text = Text()
    for y in range(0, small.height, 2):
        text.append("\n")
        for x in range(small.width):
            above, below = (_colour(small, x, y + n) for n in (0, 1))
            text.append("▀", style=f"{above} on {below}")
    return text


def _colour(picture: Image.Image, x: int, y: int) -> str:
    red, green, blue = picture.getpixel((x, y))  # type: ignore[misc]  # of an RGB picture
    return f"#{red:02x}{green:02x}{blue:02x}"
