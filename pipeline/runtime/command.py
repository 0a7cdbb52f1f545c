"""A command: its options, its settings as options, its help, and how it ends."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic

from pydantic import BaseModel

from pipeline.runtime.config_file import Config, load_config, settings_of
from pipeline.runtime.ending import Signals, how_it_ended
from pipeline.runtime.errors import (
    EXIT_CODES,
    INTERRUPTED,
    TERMINATED,
    ConfigError,
    PairmillError,
    StoppedError,
)
from pipeline.runtime.faults import exit_code_of, sentence_of
from pipeline.runtime.printable import printable
from pipeline.runtime.reporter import Reporter, Style
from pipeline.runtime.settings_help import settings_text
from pipeline.runtime.suggestion import did_you_mean

Parser = argparse.ArgumentParser
_WIDTH = 96
_OF_SIGNALS = (INTERRUPTED, TERMINATED)


@dataclass(frozen=True)
class Call(Generic[Config]):
    """One call of a command.

    Attributes:
        options: the command's own options, parsed.
        reporter: writes to standard output.
    """

    options: argparse.Namespace
    reporter: Reporter
    _settings: type[Config]
    _overrides: Sequence[str]

    def config(self, *overrides: str) -> Config:
        """The configuration: ``--config``, then the settings given as options, then ``overrides``.

        Raises:
            ConfigError: it cannot be used.
        """
        return load_config(self._settings, self.options.config, [*self._overrides, *overrides])

    @property
    def overrides(self) -> tuple[str, ...]:
        """The settings given as options, each as ``key.path=value``."""
        return tuple(self._overrides)


@dataclass(frozen=True, kw_only=True)
class Command(Generic[Config]):
    """A command of ``pairmill``.

    Attributes:
        name: ``pairmill <name>``, and the module's name in ``jobs``.
        text: what it does, for ``--help``.
        example: a command line, without the program's name.
        settings: the configuration that ``--config`` and options such as
            ``--judge.sampling.temperature 0`` fill.
        example_setting: one that users of this command change, for ``--help``.
        add_options: adds its own options.
        run: does the work; returns the exit code.
        exits: the exit codes that it can end with, beside those of signals.
        left: what Ctrl-C and SIGTERM leave behind and what to do next.
        log: in which form it reports; by default text on a terminal and JSON elsewhere.
    """

    name: str
    text: str
    example: str
    settings: type[Config]
    example_setting: str
    add_options: Callable[[Parser], None]
    run: Callable[[Call[Config]], int]
    exits: tuple[int, ...]
    left: str = "the same command goes on where this run stopped"
    log: Style | None = None

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs it; returns its exit code.

        Raises:
            Exception: a bug, as what it is; what a user can act on becomes a message on stderr.
        """
        given = sys.argv[1:] if arguments is None else list(arguments)
        if "--help-settings" in given:
            sys.stdout.write(settings_text(self.settings))
            return 0
        return run_command(lambda: self._call(given), self.left)

    def parse(self, given: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """A command line as its options and settings, the latter as ``key.path=value``.

        Raises:
            ConfigError: an option is unknown, missing, or lacks its value.
        """
        rest, overrides = split_settings(given, self.settings)
        parser = self._parser()
        known = [text for action in parser._actions for text in action.option_strings]
        for word in rest:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in known:
                hint = did_you_mean(option, known)
                raise ConfigError(f"{option}: there is no such option{hint}\n{self._see_help}")
        options = parser.parse_args(rest)
        return options, [*options.set, *overrides]

    @property
    def _see_help(self) -> str:
        return f"pairmill {self.name} --help lists all options"

    def _call(self, given: Sequence[str]) -> int:
        options, overrides = self.parse(given)
        reporter = Reporter(style=options.log)
        return self.run(Call(options, reporter, self.settings, overrides))

    @property
    def help(self) -> str:
        """What ``--help`` prints."""
        return self._parser().format_help()

    def _parser(self) -> Parser:
        parser = _Parser(
            prog=f"pairmill {self.name}",
            usage=f"pairmill {self.name} [OPTION …] [--SETTING VALUE …]",
            description=self.text,
            epilog=self._epilog(),
            formatter_class=argparse.RawTextHelpFormatter,
            allow_abbrev=False,
        )
        self.add_options(parser)
        parser.add_argument("--config", metavar="FILE", help="YAML; built-in defaults without it")
        parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[],
            help="a setting, as --SETTING VALUE gives it")  # fmt: skip
        add_log_option(parser, self.log)
        parser.add_argument("--help-settings", action="store_true",
            help="list every setting, its default and its meaning")  # fmt: skip
        return parser

    def _epilog(self) -> str:
        sections = dict.fromkeys(each.name.partition(".")[0] for each in settings_of(self.settings))
        codes = (f"{code:3}  {EXIT_CODES[code]}" for code in (*self.exits, *_OF_SIGNALS))
        return "\n".join(
            [
                "settings:",
                _indented(", ".join(sections)),
                _indented(f"each as an option, such as {self.example_setting}"),
                "\nexample:",
                # An option and its value stay on one line.
                _indented(f"pairmill {self.name} {self.example}", "(?<! ) (?=--)", " \\"),
                "\nexit codes:",
                *map(_indented, codes),
            ]
        )


def _indented(text: str, breaks: str = r"(?<=,) ", end: str = "") -> str:
    """A text in indented lines of at most 96 columns, broken where ``breaks`` matches."""
    lines = [""]
    for piece in re.split(breaks, text):
        if lines[-1] and len(lines[-1]) + 1 + len(piece) > _WIDTH:
            lines.append("")
        lines[-1] += f" {piece}" if lines[-1] else piece
    return f"{end}\n".join(f"  {line}" for line in lines)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """What is wrong with the command line, as any other error of a configuration."""
        raise ConfigError(f"{message}\n{self.prog} --help lists all options")


def add_log_option(parser: Parser, default: Style | None = None) -> None:
    """Adds ``--log``, in which form a command reports what it does."""
    text = "report as lines of text or of JSON; default: text on a terminal, JSON elsewhere"
    parser.add_argument("--log", choices=("text", "json"), default=default, help=text)


def split_settings(given: Sequence[str], model: type[BaseModel]) -> tuple[list[str], list[str]]:
    """Parts ``--a.b VALUE`` and ``--a.b=VALUE`` from a command line.

    Returns:
        what is left of it; the settings, each as ``a.b=VALUE``.

    Raises:
        ConfigError: a setting has no value.
    """
    top = {each.name for each in settings_of(model) if "." not in each.name}
    rest: list[str] = []
    overrides: list[str] = []
    words = iter(given)
    for word in words:
        name, equals, value = word.partition("=")
        key = name.removeprefix("--")
        if not name.startswith("--") or not ("." in key or key in top):
            rest.append(word)
            continue
        if not equals and (found := next(words, None)) is None:
            raise ConfigError(f"{name}: expected a value behind it")
        overrides.append(f"{key}={value if equals else found}")
    return rest, overrides


def run_command(body: Callable[[], int], left: str) -> int:
    """Runs a command's work; returns its exit code.

    Args:
        body: the work; returns the exit code.
        left: what Ctrl-C and SIGTERM leave behind and what to do next.

    Raises:
        Exception: a bug, as what it is; what a user can act on becomes a message on stderr.
    """
    sys.excepthook = _show_bug
    signals = Signals()
    code = _ended(body, left, signals)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    signals.end_with(code)
    return code


def _ended(body: Callable[[], int], left: str, signals: Signals) -> int:
    """The exit code of a command's work; what is to be said of it is on stderr."""
    try:
        try:
            signals.raise_them()
            return body()
        finally:
            signals.hold_them()
    except StoppedError as stopped:  # no error: it did what it was asked to
        sys.stderr.write(printable(f"{stopped}\n"))
        return stopped.exit_code
    except KeyboardInterrupt as came:
        return _stopped_by(came, left)
    except Exception as error:
        if (cause := signals.raised) is not None:
            return _stopped_by(cause, left)
        sentence = str(error) if isinstance(error, PairmillError) else sentence_of(error)
        if sentence is None:
            raise
        sys.stderr.write(printable(f"error: {sentence}\n"))
        return exit_code_of(error)


def _stopped_by(came: KeyboardInterrupt, left: str) -> int:
    what, code = how_it_ended(came)
    sys.stderr.write(f"{what}; {left}\n")
    return code


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Shows the traceback of a bug: its messages may quote anybody's texts."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))
