"""Commands: options and settings from one command line, help, suggestions, exit codes."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import jobs
from jobs.__main__ import COMMANDS
from jobs.__main__ import main as pairmill
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.command import Command, run_command, split_settings
from pipeline.runtime.config_file import load_config, settings_of
from pipeline.runtime.errors import EXIT_CODES, ConfigError, PairmillError, StoppedError
from pipeline.runtime.settings_help import meaning_of

NAMES = sorted(name for group in COMMANDS.values() for name in group)
WITH_SETTINGS = sorted(set(NAMES) - {"bench", "demo", "train_tiny_judge"})


def command_of(name: str) -> Command[PipelineConfig]:
    command: Command[PipelineConfig] = importlib.import_module(f"jobs.{name}").COMMAND
    return command


def test_every_job_is_a_command_and_the_other_way_round() -> None:
    modules = {module.name for module in pkgutil.iter_modules(jobs.__path__)} - {"__main__"}
    assert modules == set(NAMES)


def test_pairmill_alone_lists_every_command_and_imports_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert pairmill([]) == 0
    listed = capsys.readouterr().out
    assert [name for name in NAMES if f"  pairmill {name} " not in listed] == []
    code = (
        "import sys; from jobs.__main__ import main; main([]); "
        "sys.exit(bool({'ray', 'vllm', 'torch', 'pyarrow'} & sys.modules.keys()))"
    )
    root = Path(jobs.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_commands_that_judge_nothing_start_without_what_takes_seconds_to_import() -> None:
    code = (
        "import sys, jobs.export, jobs.gold, jobs.review, jobs.ingest, jobs.evaluate; "
        "print(*{'ray', 'torch', 'pandas', 'scipy', 'matplotlib', 'datasets'} & sys.modules.keys())"
    )
    root = Path(jobs.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, capture_output=True)
    assert (done.returncode, done.stdout.decode().split()) == (0, [])


def test_an_unknown_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert pairmill(["lable"]) == 2
    assert "there is no command 'lable'; did you mean label?" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example_and_the_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        pairmill([name, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"pairmill {name} " in text.partition("\nexit codes:")[0].partition("\n\n")[2]
    assert "exit codes:\n" in text


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_example_of_the_help_is_a_command_line_that_is_accepted(name: str) -> None:
    command = command_of(name)
    options, overrides = command.parse(command.example.split())
    setting = command.example_setting.split()
    _, more = command.parse([*command.example.split(), *setting])
    assert len(more) == len(overrides) + 1
    assert load_config(command.settings, options.config, more) != load_config(
        command.settings, options.config, overrides
    )
    assert set(command.exits) <= EXIT_CODES.keys()


def test_settings_are_options_beside_options_of_the_same_name() -> None:
    given = ["--input", "in", "--input.unit_rows", "8", "--gate.at_most={tie: 0.5}", "--dry-run"]
    rest, overrides = split_settings(given, PipelineConfig)
    assert rest == ["--input", "in", "--dry-run"]
    config = load_config(PipelineConfig, None, overrides)
    assert config.input.unit_rows == 8
    assert config.gate.at_most == {"tie": 0.5}


def test_the_command_line_goes_before_set_and_set_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("workers: {max: 2, stop_seconds: 5, wave_units: 7}")
    command = command_of("label")
    words = ["--input", "i", "--output", "o", "--config", str(tmp_path / "c.yaml")]
    options, overrides = command.parse(
        [*words, "--workers.max", "4", "--set", "workers.max=3", "--set", "workers.stop_seconds=6"]
    )
    workers = load_config(PipelineConfig, options.config, overrides).workers
    assert (workers.max, workers.stop_seconds, workers.wave_units) == (4, 6, 7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inptu", "x"], "--inptu: there is no such option; did you mean --input?"),
        (["--input", "x"], "the following arguments are required: --output"),
        (["--workers.max"], "--workers.max: expected a value behind it"),
        (["--log", "xml"], "argument --log: invalid choice: 'xml'"),
    ],
)
def test_a_command_line_that_cannot_be_used(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_of("label").main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_an_expression_is_what_is_written() -> None:
    """Much of JMESPath is YAML, too, and means something else there."""
    written = {
        "a": "{text: output[0], model: generator}",
        "b": '"response-1"',
        "candidates": "[first, second]",
        "gold": "[?x].y | [0]",
        "messages": "`[1]`",
        "source": "'a set'",
        "metadata": "{rubric: rubric}",
    }
    overrides = [f"input.map.{field}={text}" for field, text in written.items()]
    config = load_config(PipelineConfig, None, [*overrides, "input.map.images=null"])
    assert config.input.map == written | {"images": None}
    config = load_config(PipelineConfig, None, ["canary.map.a=[x][0]"])
    assert config.canary.map == {"a": "[x][0]"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("judge.sampling.temprature=0", "did you mean temperature or retry_temperature?"),
        (
            "judge.zzz=0",
            "expected one of allow_experimental, bundle, candidates, format, media, model, prompt,",
        ),
        ("nightly.exports=[{fromat: jsonl}]", "nightly.exports.0.fromat: there is no such setting"),
        ("input.map.messags=x", "messags: there is no such field; did you mean messages"),
    ],
)
def test_an_unknown_setting_gets_a_suggestion(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(PipelineConfig, None, [override])
    assert message in str(error.value)


def test_every_setting_says_what_it_means(capsys: pytest.CaptureFixture[str]) -> None:
    silent = [each.name for each in settings_of(PipelineConfig) if not meaning_of(each)]
    assert silent == []
    assert command_of("label").main(["--help-settings"]) == 0
    text = capsys.readouterr().out
    names = [each.name for each in settings_of(PipelineConfig)]
    assert [name for name in names if f"--{name} " not in text] == []


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("no"), 2, "error: no\n"),
        (PairmillError("no"), 1, "error: no\n"),
        (StoppedError("stopped"), 143, "stopped\n"),
        (KeyboardInterrupt(), 130, "interrupted; go on so\n"),
    ],
)
def test_how_a_command_ends(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise error

    assert run_command(body, "go on so") == code
    assert capsys.readouterr().err == text


def test_a_bug_is_raised_as_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0, "")
