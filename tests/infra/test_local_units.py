"""The systemd units of a workstation: read strictly, run in thought, and by systemd where it is."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from jobs import clean, nightly
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from tests.infra.manifests import ROOT, run

LOCAL = ROOT / "infra" / "local"
NAMES = ("nightly", "clean")
UNITS = (*(f"pairmill-{name}.{kind}" for name in NAMES for kind in ("service", "timer")), "s3.conf")
# Every setting that the units use, by section, so that a slip of the pen is found without systemd.
KNOWN = {
    "Unit": {"Description", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"},
    "Install": {"WantedBy"},
    "Timer": {"OnCalendar", "RandomizedDelaySec", "Persistent"},
    "Service": {
        *("Type", "User", "EnvironmentFile", "Environment", "ExecStart", "LoadCredential"),
        *("Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStartSec"),
        *("KillMode", "TimeoutStopSec", "StateDirectory", "CacheDirectory", "WorkingDirectory"),
        *("UMask", "LimitNOFILE", "Nice", "NoNewPrivileges", "CapabilityBoundingSet"),
        *("AmbientCapabilities", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateMounts"),
        *("ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs"),
        *("ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces"),
        *("RestrictRealtime", "RestrictSUIDSGID", "RemoveIPC", "LockPersonality"),
        *("RestrictAddressFamilies", "SystemCallFilter", "SystemCallErrorNumber"),
        *("DevicePolicy", "DeviceAllow", "PrivateDevices", "KeyringMode", "ProtectProc"),
        "SystemCallArchitectures",
    },
}
_ANALYZE = shutil.which("systemd-analyze")


def _systemd_version() -> int:
    if _ANALYZE is None:
        return 0
    return int(re.findall(r"\d+", run(_ANALYZE, "--version").stdout)[0])


needs_systemd = pytest.mark.skipif(
    _systemd_version() < 250,
    reason="no systemd-analyze of 250 or later here; the units were read strictly all the same",
)


def read(name: str) -> dict[str, list[tuple[str, str]]]:
    """Sections of a unit and their settings; anything that is neither is refused."""
    sections: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in (LOCAL / name).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
            assert section not in sections, f"{name}: [{section}] twice"
            sections[section] = []
            continue
        setting = re.fullmatch(r"(\w+)=(.*\S)?", line)
        assert setting, f"{name}: {line!r} is no setting"
        assert not line.endswith("\\"), f"{name}: {line!r} goes on"
        sections[section].append((setting[1], setting[2] or ""))
    return sections


def service(name: str = "nightly") -> dict[str, str]:
    return dict(read(f"pairmill-{name}.service")["Service"])


def environment() -> dict[str, str]:
    lines = (LOCAL / "pairmill.env").read_text(encoding="utf-8").splitlines()
    set_here = [line for line in lines if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in set_here)


def command(values: dict[str, str], name: str = "nightly") -> list[str]:
    """Expands ExecStart as systemd does: ${X} is one word, $X as many as it has."""
    words: list[str] = []
    for word in shlex.split(service(name)["ExecStart"]):
        if bare := re.fullmatch(r"\$(\w+)", word):
            words += values[bare[1]].split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], word))
    return words


@pytest.mark.parametrize("name", UNITS)
def test_every_setting_is_known_and_set_once(name: str) -> None:
    for section, settings in read(name).items():
        names = [setting for setting, _ in settings]
        assert set(names) <= KNOWN[section]
        assert len(names) - len(set(names)) == max(0, names.count("Environment") - 1)


def test_the_command_is_one_that_the_job_accepts() -> None:
    python, flag, module, *arguments = command(environment())
    assert (python, flag, module) == ("/opt/pairmill/bin/python", "-m", "jobs.nightly")
    options, _ = nightly.COMMAND.parse(arguments)
    assert options.input == "/var/lib/pairmill/pairs"
    assert options.output == "/var/lib/pairmill/labels"
    # What the service's head says to install is what it reads.
    source = ROOT / "jobs" / "configs" / Path(options.config).name
    assert options.config == f"/etc/pairmill/{source.name}"
    text = (LOCAL / "pairmill-nightly.service").read_text(encoding="utf-8")
    assert f"install -D -m 644 jobs/configs/{source.name} infra/local/pairmill.env " in text
    config = load_config(PipelineConfig, str(source), options.set)
    assert config.workers.max == 1


def test_the_same_of_clean_which_applies_what_it_would_do() -> None:
    python, flag, module, *arguments = command(environment(), "clean")
    assert (python, flag, module) == ("/opt/pairmill/bin/python", "-m", "jobs.clean")
    options, _ = clean.COMMAND.parse(arguments)
    assert (options.output, options.apply) == ("/var/lib/pairmill/labels", True)
    assert (options.input, options.config) == (
        "/var/lib/pairmill/pairs",
        "/etc/pairmill/nightly.yaml",
    )
    # A nightly run that goes on has the lease (exit code 5): that passes.
    assert service("clean")["RestartPreventExitStatus"] == "2"
    assert dict(read("pairmill-clean.timer")["Timer"])["OnCalendar"] == "Sun *-*-* 15:00:00"


def test_there_is_no_secret_and_a_place_for_one() -> None:
    for name in (*UNITS, "pairmill.env"):
        assert not re.search(r"ACCESS_KEY|SECRET|TOKEN|PASSWORD", (LOCAL / name).read_text())
    drop_in = dict(read("s3.conf")["Service"])
    assert drop_in["LoadCredential"] == "aws:/etc/pairmill/aws-credentials"
    assert drop_in["Environment"] == "AWS_SHARED_CREDENTIALS_FILE=%d/aws"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_confined(name: str) -> None:
    settings = service(name)
    assert settings["User"] == "pairmill"
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    for switch in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictSUIDSGID"):
        assert settings[switch] == "yes"
    # No other user's processes are seen, and no call of another architecture gets by the filter.
    assert (settings["ProtectProc"], settings["KeyringMode"]) == ("invisible", "private")
    assert settings["SystemCallArchitectures"] == "native"
    assert settings["DevicePolicy"] == "closed"
    assert settings.get("DeviceAllow") == ("char-nvidia* rw" if name == "nightly" else None)


def test_what_trying_again_cannot_change_is_not_tried_again() -> None:
    settings = service()
    assert settings["Restart"] == "on-failure"
    assert settings["RestartPreventExitStatus"].split() == ["2", "3", "4", "5"]
    # Three runs of seven hours end before the next nightly run begins.
    limits = dict(read("pairmill-nightly.service")["Unit"])
    hours = int(settings["TimeoutStartSec"].removesuffix("h"))
    assert int(limits["StartLimitBurst"]) * hours < 23
    assert limits["StartLimitIntervalSec"] == "23h"


def test_the_timer_starts_the_service_every_night() -> None:
    timer = read("pairmill-nightly.timer")
    assert dict(timer["Timer"])["OnCalendar"] == "*-*-* 01:00:00"
    assert dict(timer["Timer"])["Persistent"] == "yes"
    assert timer["Install"] == [("WantedBy", "timers.target")]


def installed(folder: Path) -> Path:
    """The units as installed, with a Python that is there; systemd asks for it."""
    for name in UNITS[:-1]:
        text = (LOCAL / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("/opt/pairmill/bin/python", sys.executable))
    (folder / "pairmill-nightly.service.d").mkdir()
    shutil.copy(LOCAL / "s3.conf", folder / "pairmill-nightly.service.d")
    return folder


@needs_systemd
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    folder = installed(tmp_path)
    # Of these units alone: those of the machine are not ours to judge.
    paths = [folder / name for name in UNITS[:-1]]
    done = run(str(_ANALYZE), "verify", "--recursive-errors=no", *paths)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "pairmill" in line] == []


@needs_systemd
def test_systemd_would_see_a_slip(tmp_path: Path) -> None:
    unit = installed(tmp_path) / UNITS[0]
    unit.write_text(unit.read_text().replace("KillMode=mixed", "KillMode=mixt"))
    done = run(str(_ANALYZE), "verify", "--recursive-errors=no", unit)
    assert done.returncode == 1
    assert "kill mode" in done.stderr


@needs_systemd
def test_systemd_calls_it_well_confined(tmp_path: Path) -> None:
    unit = installed(tmp_path) / UNITS[0]
    done = run(str(_ANALYZE), "security", "--offline=yes", "--threshold=30", unit)
    assert done.returncode == 0, done.stdout + done.stderr
