"""Alert rules: promtool runs their tests, and they read nothing but what is exported."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.nightly.pipeline_config import PipelineConfig
from tests.infra.manifests import ROOT, one, rendered, run
from tests.infra.promql import names_of, unknown

FOLDER = ROOT / "infra" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load(
    (FOLDER / "rules_test.yaml").read_text(encoding="utf-8")
)["tests"]
_LOCAL = Path(sys.executable).parents[1] / "tools" / "promtool"
PROMTOOL = shutil.which("promtool") or (str(_LOCAL) if _LOCAL.exists() else None)
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is missing: make test-tools")


def promtool(*arguments: str) -> str:
    assert PROMTOOL is not None
    done = run(PROMTOOL, *arguments, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_the_rules_keep_to_their_tests() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "rules.yaml")
    promtool("test", "rules", "rules_test.yaml")
    promtool("check", "config", "prometheus.local.yaml")


@needs_promtool
def test_the_tests_can_fail(tmp_path: Path) -> None:
    text = (FOLDER / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(text.replace("26 * 3600", "50 * 3600"), encoding="utf-8")
    # Of its tests, those that wait for a nightly run: all of them take seconds.
    own = [test for test in TESTS if "PairmillNightMissed" in str(test.get("alert_rule_test"))]
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": own}
    (tmp_path / "rules_test.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = run(str(PROMTOOL), "test", "rules", "rules_test.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "PairmillNightMissed" in done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_alert_is_seen_to_fire_and_to_be_quiet(alert: dict[str, Any]) -> None:
    cases = [case for test in TESTS for case in test.get("alert_rule_test", [])]
    own = [bool(case.get("exp_alerts")) for case in cases if case["alertname"] == alert["alert"]]
    assert set(own) == {True, False}
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"].keys() == {"summary", "description"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_what_is_exported(rule: dict[str, Any]) -> None:
    assert unknown(rule["expr"], RECORDED) == set()
    assert names_of(rule["expr"])
    tested = {name for test in TESTS for name in series_of(test)}
    assert names_of(rule["expr"]) - RECORDED <= tested


def series_of(test: dict[str, Any]) -> set[str]:
    return {series["series"].partition("{")[0] for series in test["input_series"]}


@pytest.mark.parametrize("overlay", ["overlays/one-node", "overlays/fleet"])
def test_the_pod_monitor_finds_every_ray_pod(overlay: str) -> None:
    monitor = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text(encoding="utf-8"))["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    job = one(rendered(overlay), "RayJob")["spec"]["rayClusterSpec"]
    groups = [job["headGroupSpec"], *job["workerGroupSpecs"]]
    for group in groups:
        template = group["template"]
        wanted = monitor["selector"]["matchLabels"].items()
        assert wanted <= template["metadata"]["labels"].items()
        ports = [port for c in template["spec"]["containers"] for port in c.get("ports", [])]
        assert [p["containerPort"] for p in ports if p["name"] == endpoint["port"]] == [8080]


def test_stop_budgets_leave_time_for_the_record() -> None:
    budget = PipelineConfig().workers.stop_seconds
    head = one(rendered("base"), "RayJob")["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    (container,) = head["spec"]["containers"]
    stop = next(e["value"] for e in container["env"] if e["name"] == "RAY_JOB_STOP_WAIT_TIME_S")
    assert budget + 20 <= int(stop) <= head["spec"]["terminationGracePeriodSeconds"] - 20
    unit = (ROOT / "infra" / "local" / "pairmill-nightly.service").read_text(encoding="utf-8")
    minutes = re.search(r"^TimeoutStopSec=(\d+)min$", unit, re.M)
    assert minutes is not None
    assert budget + 20 <= 60 * int(minutes[1])
