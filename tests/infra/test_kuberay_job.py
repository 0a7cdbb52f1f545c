"""How the RayJob of infra/kuberay runs: its command, its cluster, its schedules, its budget."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from jobs import nightly
from pipeline.nightly.pipeline_config import PipelineConfig
from pipeline.runtime.config_file import load_config
from tests.infra.manifests import KUBERAY, OVERLAYS, ROOT, Manifest, one, project, rendered

DAY_S = 86_400
GPU = "nvidia.com/gpu"


def job_spec(overlay: str) -> Manifest:
    spec: Manifest = one(rendered(overlay), "RayJob")["spec"]
    return spec


def gpu_group(overlay: str) -> Manifest:
    (group,) = (
        group
        for group in job_spec(overlay)["rayClusterSpec"]["workerGroupSpecs"]
        if GPU in group["template"]["spec"]["containers"][0]["resources"]["limits"]
    )
    found: Manifest = group
    return found


def run_script(folder: Path, text: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the entrypoint's script with a python3 that only prints its arguments."""
    (folder / "run.sh").write_text(text, encoding="utf-8")
    python = folder / "python3"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    command = ["bash", str(folder / "run.sh")]
    return subprocess.run(
        command, env={"PATH": path, **env}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_command_is_one_that_the_job_accepts(tmp_path: Path, overlay: str) -> None:
    manifests = rendered(overlay)
    script = one(manifests, "ConfigMap", "pairmill-run")["data"]["run.sh"]
    values = one(manifests, "ConfigMap", "pairmill-job")["data"]
    done = run_script(tmp_path, script, values)
    assert done.returncode == 0, done.stderr
    module, *arguments = done.stdout.splitlines()[1:]
    assert module == "jobs.nightly"
    options, _ = nightly.COMMAND.parse(arguments)
    assert options.config == "/etc/pairmill/judge.yaml"
    assert options.input == values["PAIRMILL_INPUT"]
    assert options.output == values["PAIRMILL_OUTPUT"]
    # The configuration that is mounted, with the overlay's settings, asks for what there is.
    path = tmp_path / "judge.yaml"
    path.write_text(one(manifests, "ConfigMap", "pairmill-judge")["data"]["judge.yaml"])
    config = load_config(PipelineConfig, str(path), options.set)
    group = gpu_group(overlay)
    assert config.workers.max * config.workers.gpus == group["maxReplicas"]
    assert config.workers.gpus == 1


def test_a_job_without_input_says_what_is_missing(tmp_path: Path) -> None:
    text = (KUBERAY / "base" / "run.sh").read_text(encoding="utf-8")
    done = run_script(tmp_path, text, {"PAIRMILL_OUTPUT": "s3://b/out"})
    assert done.returncode != 0
    assert done.stdout == ""
    assert "PAIRMILL_INPUT: set it in job.env" in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_the_repositorys(overlay: str) -> None:
    data = one(rendered(overlay), "ConfigMap", "pairmill-judge")["data"]
    source = ROOT / "jobs" / "configs" / "nightly.yaml"
    assert data == {"judge.yaml": source.read_text(encoding="utf-8")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_head_finds_its_configuration(overlay: str) -> None:
    manifests = rendered(overlay)
    assert job_spec(overlay)["entrypoint"] == "bash /etc/pairmill/run.sh"
    head = job_spec(overlay)["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    container = head["containers"][0]
    mount = {"name": "config", "mountPath": "/etc/pairmill", "readOnly": True}
    assert mount in container["volumeMounts"]
    (volume,) = (volume for volume in head["volumes"] if volume["name"] == "config")
    named = [source["configMap"]["name"] for source in volume["projected"]["sources"]]
    named += [source["configMapRef"]["name"] for source in container["envFrom"]]
    wanted = ("pairmill-judge", "pairmill-run", "pairmill-job")
    assert named == [one(manifests, "ConfigMap", name)["metadata"]["name"] for name in wanted]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cluster_scales_from_nothing_and_its_head_does_no_work(overlay: str) -> None:
    cluster = job_spec(overlay)["rayClusterSpec"]
    (pin,) = (item for item in project()["dependencies"] if item.startswith("ray["))
    assert pin.endswith(f"=={cluster['rayVersion']}")
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert cluster["authOptions"] == {"mode": "token"}
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert GPU not in head["template"]["spec"]["containers"][0]["resources"]["limits"]
    for group in cluster["workerGroupSpecs"]:
        assert (group["replicas"], group["minReplicas"]) == (0, 0)
        assert group["maxReplicas"] >= 1
    tolerated = gpu_group(overlay)["template"]["spec"]["tolerations"]
    assert {"key": GPU, "operator": "Exists", "effect": "NoSchedule"} in tolerated


def test_the_fleet_is_on_spot_and_its_head_on_demand() -> None:
    cluster = job_spec("overlays/fleet")["rayClusterSpec"]
    head = cluster["headGroupSpec"]["template"]
    assert head["spec"]["nodeSelector"] == {"karpenter.sh/capacity-type": "on-demand"}
    assert head["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    spot = {"key": "pairmill/spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    assert {group["groupName"] for group in cluster["workerGroupSpecs"]} == {"gpu", "readers"}
    for group in cluster["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        assert pod["nodeSelector"] == {"karpenter.sh/capacity-type": "spot"}
        assert spot in pod["tolerations"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_nightly_run_ends_before_the_next_one(overlay: str) -> None:
    spec = job_spec(overlay)
    # Each attempt has the whole deadline in KubeRay; a RayCronJob knows no concurrencyPolicy.
    assert (spec["backoffLimit"] + 1) * spec["activeDeadlineSeconds"] < DAY_S - 1_800
    assert spec["preRunningDeadlineSeconds"] < spec["activeDeadlineSeconds"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert "deletionStrategy" not in spec  # excludes shutdownAfterJobFinishes, and suspend with it


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_stopped_job_has_the_time_that_it_is_promised(overlay: str) -> None:
    head = job_spec(overlay)["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    env = {item["name"]: item["value"] for item in head["containers"][0]["env"]}
    assert head["terminationGracePeriodSeconds"] > int(env["RAY_JOB_STOP_WAIT_TIME_S"]) > 3
    # A spot node is given two minutes.
    assert gpu_group(overlay)["template"]["spec"]["terminationGracePeriodSeconds"] == 120


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_applying_the_manifests_starts_nothing(overlay: str) -> None:
    assert job_spec(overlay)["suspend"] is True


def test_the_raycronjob_runs_what_the_overlay_made_of_the_job() -> None:
    cron = one(rendered("overlays/fleet"), "RayCronJob")["spec"]
    assert cron["jobTemplate"] == {**job_spec("overlays/fleet"), "suspend": False}
    assert (cron["schedule"], cron["timeZone"]) == ("0 1 * * *", "Etc/UTC")


def test_the_cronjob_starts_the_same_at_the_same_time() -> None:
    cron = one(rendered("overlays/one-node"), "CronJob")["spec"]
    assert (cron["schedule"], cron["timeZone"]) == ("0 1 * * *", "Etc/UTC")
    assert cron["concurrencyPolicy"] == "Forbid"
    (start,) = cron["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert shlex.join(start["args"]) == "--template=pairmill --name=pairmill-nightly"


def test_the_cronjob_may_do_nothing_else() -> None:
    manifests = rendered("overlays/one-node")
    assert one(manifests, "Role")["rules"] == [
        {
            "apiGroups": ["ray.io"],
            "resources": ["rayjobs"],
            "resourceNames": ["pairmill"],
            "verbs": ["get"],
        },
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create"]},
    ]
    binding = one(manifests, "RoleBinding")
    assert binding["roleRef"]["name"] == "pairmill-start"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "pairmill-start", "namespace": "pairmill"}
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_budget_guards_heads_and_nothing_else(overlay: str) -> None:
    budget = one(rendered(overlay), "PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == 1
    selector = dict(budget["selector"]["matchLabels"])
    # KubeRay sets this label; the other one is ours.
    assert selector.pop("ray.io/node-type") == "head"
    labels = job_spec(overlay)["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert selector == {"app.kubernetes.io/part-of": "pairmill"}
    assert selector.items() <= labels.items()


def test_names_leave_room_for_what_kuberay_appends() -> None:
    for path in KUBERAY.rglob("*.yaml"):
        for item in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if isinstance(item, dict) and item.get("kind") in ("RayCronJob", "CronJob", "RayJob"):
                assert len(item["metadata"]["name"]) <= 36
