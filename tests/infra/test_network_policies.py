"""Who reaches whom in the cluster, by the rules of NetworkPolicies, for every overlay's pods."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tests.infra.manifests import KUBERAY, OVERLAYS, Manifest, build, pods, rendered

Labels = dict[str, str]
HERE = {"kubernetes.io/metadata.name": "pairmill"}
PART = {"app.kubernetes.io/part-of": "pairmill"}
RAY = {**PART, "app.kubernetes.io/component": "ray"}
SUBMITTER = {**PART, "app.kubernetes.io/component": "submitter"}
OPERATOR = {"app.kubernetes.io/name": "kuberay-operator"}
ELSEWHERE = {"kubernetes.io/metadata.name": "elsewhere"}
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
Peer = tuple[Labels, Labels]  # a pod's labels, and its namespace's


def policies(overlay: str = "base") -> list[Manifest]:
    return [item for item in rendered(overlay) if item["kind"] == "NetworkPolicy"]


def selects(selector: dict[str, Any], labels: Labels) -> bool:
    assert selector.keys() <= {"matchLabels"}
    wanted: Labels = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def meets(rule: dict[str, Any], peer: Peer | str, port: int, protocol: str) -> bool:
    """Whether a rule has a peer (a pod, or an address outside of the cluster) and a port."""
    ports = [(each["protocol"], each["port"]) for each in rule.get("ports", [])]
    if ports and (protocol, port) not in ports:
        return False
    return any(is_peer(each, peer) for each in rule.get("from") or rule.get("to") or [])


def is_peer(each: dict[str, Any], peer: Peer | str) -> bool:
    if isinstance(peer, str):
        block = each.get("ipBlock", {"cidr": "0.0.0.0/32"})
        address = ipaddress.ip_address(peer)
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(excluded) for excluded in block.get("except", [])
        )
    if "ipBlock" in each:
        return False
    pod, namespace = peer
    there = (
        selects(each["namespaceSelector"], namespace)
        if "namespaceSelector" in each
        else (namespace == HERE)
    )
    return there and selects(each.get("podSelector", {}), pod)


def reaches(side: str, pod: Labels, peer: Peer | str, port: int, protocol: str = "TCP") -> bool:
    """Whether policies let a pod of ours receive from (ingress) or send to (egress) a peer."""
    concerned = [
        each["spec"]
        for each in policies()
        if side.capitalize() in each["spec"]["policyTypes"]
        and selects(each["spec"]["podSelector"], pod)
    ]
    assert concerned, "nothing restricts it"
    return any(
        meets(rule, peer, port, protocol) for spec in concerned for rule in spec.get(side, [])
    )


@pytest.mark.parametrize(
    ("pod", "peer", "port", "allowed"),
    [
        (RAY, (RAY, HERE), 6379, True),
        (RAY, (RAY, HERE), 10_002, True),
        (RAY, (SUBMITTER, HERE), 8265, True),
        (RAY, (SUBMITTER, HERE), 6379, False),
        (RAY, (OPERATOR, ELSEWHERE), 8265, True),
        (RAY, (OPERATOR, ELSEWHERE), 6379, False),
        (RAY, ({}, MONITORING), 8080, True),
        (RAY, ({}, MONITORING), 8265, False),
        (RAY, (RAY, ELSEWHERE), 6379, False),
        (RAY, ({}, HERE), 8265, False),
        (RAY, ({}, ELSEWHERE), 8080, False),
        (RAY, "203.0.113.7", 8265, False),
        (SUBMITTER, (RAY, HERE), 8265, False),
    ],
)
def test_who_reaches_a_pod(pod: Labels, peer: Peer | str, port: int, allowed: bool) -> None:
    assert reaches("ingress", pod, peer, port) == allowed


@pytest.mark.parametrize(
    ("pod", "peer", "port", "allowed"),
    [
        (RAY, (RAY, HERE), 41_000, True),
        (RAY, "203.0.113.7", 443, True),
        (RAY, "203.0.113.7", 80, False),
        (RAY, "169.254.169.254", 80, False),
        (RAY, "169.254.169.254", 443, False),
        (RAY, "fd00:ec2::254", 443, False),
        (RAY, "169.254.170.23", 80, True),
        (RAY, ({"app": "database"}, ELSEWHERE), 5432, False),
        (SUBMITTER, (RAY, HERE), 8265, True),
        (SUBMITTER, (RAY, HERE), 6379, False),
        (SUBMITTER, "10.0.0.1", 443, True),
    ],
)
def test_whom_a_pod_reaches(pod: Labels, peer: Peer | str, port: int, allowed: bool) -> None:
    assert reaches("egress", pod, peer, port) == allowed


def test_names_are_resolved_by_every_pod() -> None:
    for pod in (RAY, SUBMITTER, PART):
        assert reaches("egress", pod, ({"k8s-app": "kube-dns"}, ELSEWHERE), 53, "UDP")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_of_a_component_that_policies_know(overlay: str) -> None:
    components = {"head": "ray", "worker": "ray", "submitter": "submitter", "start": "start"}
    for pod in pods(rendered(overlay)):
        component = {"app.kubernetes.io/component": components[pod.role]}
        assert pod.template["metadata"]["labels"].items() >= (PART | component).items()
    assert policies(overlay) == policies()
    (clean,) = (item for item in build(KUBERAY / "schedule" / "clean") if item["kind"] == "CronJob")
    template = clean["spec"]["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "clean"
