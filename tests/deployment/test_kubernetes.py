"""deploy/kubernetes: valid manifests that fit one another, the settings and the command line."""

import copy
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from grpc_health.v1.health import SERVICE_NAME

from tests.deployment.support import ROOT, SECRET, parse, settings_of
from training_service.settings import Settings, SettingsError

Manifest = dict[str, Any]

FOLDER = ROOT / "deploy" / "kubernetes"
MIGRATION = FOLDER / "migrate"
VERSIONS = ["1.31", kubernetes_validate.latest_version()]
"""The oldest in which all that is used is stable, and the newest there is a schema of."""
MAX_CONNECTIONS = 100
"""PostgreSQL's own default, of which jobs and people need some."""
SPARE_CONNECTIONS = 10


def manifests(folder: Path) -> Iterator[Manifest]:
    """Yields what a kustomization is made of."""
    for name in kustomization(folder)["resources"]:
        yield from yaml.safe_load_all((folder / name).read_text())


def kustomization(folder: Path) -> Manifest:
    """Returns what says of which files a folder is made."""
    found: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return found


ALL = [*manifests(FOLDER), *manifests(MIGRATION)]
NAMES = [f"{one['kind']}-{one['metadata']['name']}" for one in ALL]


def the(kind: str, name: str = "training") -> Manifest:
    [found] = [m for m in ALL if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def template(manifest: Manifest) -> Manifest | None:
    """Returns the pods that a manifest makes, None if it makes none."""
    spec = manifest.get("spec", {})
    found: Manifest | None = spec.get("jobTemplate", {"spec": spec})["spec"].get("template")
    return found


PODS = {name: pods for name, one in zip(NAMES, ALL, strict=True) if (pods := template(one))}
SERVER = PODS["Deployment-training"]


def containers(pods: Manifest) -> list[Manifest]:
    return [*pods["spec"].get("initContainers", []), *pods["spec"]["containers"]]


def test_every_file_is_part_of_it() -> None:
    for folder in (FOLDER, MIGRATION):
        there = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert there == set(kustomization(folder)["resources"])
    assert {p.partition("-")[0] for p in PODS} == {"Deployment", "CronJob", "Job"}
    assert len(PODS) == 6


# What Kubernetes would say.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", ALL, ids=NAMES)
def test_manifests_are_valid(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replica"), 3),
        (("spec", "strategy", "rollingUpdate", "maxUnavailable"), [1]),
        (("spec", "template", "spec", "containers", 0, "livenessProbe", "grpc", "port"), "health"),
        (("spec", "template", "spec", "containers", 0, "securityContext", "readOnly"), True),
    ],
)
def test_wrong_manifests_would_be_refused(path: tuple[str | int, ...], value: object) -> None:
    wrong: Any = copy.deepcopy(the("Deployment"))
    inner = wrong
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


# What the service would say.


def shared_settings() -> dict[str, str]:
    """Returns what the generated ConfigMap holds."""
    lines = (FOLDER / "settings.env").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    found = dict(pairs)
    assert len(found) == len(pairs)
    return found


def variables(container: Manifest) -> dict[str, str]:
    """Returns the environment of a container."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        assert source == {"configMapRef": {"name": "training-settings"}}
        found |= shared_settings()
    return found | {one["name"]: one["value"] for one in container.get("env", [])}


CONTENTS = {
    "TRAINING_DATABASE_URL": "postgresql://training_service@db/training",
    "TRAINING_MIGRATION_DATABASE_URL": "postgresql://training_owner@db/training",
    "AWS_ACCESS_KEY_ID": "an-id",
    "AWS_SECRET_ACCESS_KEY": "a-key",
}


def mounted(pods: Manifest, container: Manifest, folder: str) -> set[str]:
    """Returns the files of secrets that a container finds in a folder."""
    [mount] = [m for m in container["volumeMounts"] if m["mountPath"] == folder]
    assert mount["readOnly"] is True
    [volume] = [v for v in pods["spec"]["volumes"] if v["name"] == mount["name"]]
    sources = volume["projected"]["sources"]
    return {item["path"] for source in sources for item in source["secret"]["items"]}


def settings_in(
    pods: Manifest, container: Manifest, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Settings:
    """Returns the settings that the service has in a container."""
    given = variables(container)
    for name in mounted(pods, container, given["TRAINING_SECRETS_DIRECTORY"]):
        (folder / name).write_text(CONTENTS[name])
    return settings_of(monkeypatch, given, folder)


@pytest.mark.parametrize("name", PODS)
def test_the_service_takes_settings_and_arguments(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for container in containers(PODS[name]):
        settings = settings_in(PODS[name], container, monkeypatch, tmp_path)
        command = parse(container["args"])
        assert not SECRET & set(variables(container))
        # Each has the login that it needs, and not the other.
        logins = bool(settings.database_url), bool(settings.migration_database_url)
        assert logins == ((True, False) if command == "serve" else (False, True))


def test_an_unknown_setting_or_option_would_be_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="no such setting"):
        settings_of(monkeypatch, {**shared_settings(), "TRAINING_WORKER": "1"}, tmp_path)
    with pytest.raises(Exception, match="No such option"):
        parse(["verify", "--head", "/heads/heads.json"])


def test_variables_that_kubernetes_sets_for_a_service_would_be_taken_for_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    linked = {**shared_settings(), "TRAINING_GATEWAY_SERVICE_HOST": "10.0.0.1"}
    with pytest.raises(SettingsError, match="no such setting"):
        settings_of(monkeypatch, linked, tmp_path)
    assert all(pods["spec"]["enableServiceLinks"] is False for pods in PODS.values())


@pytest.fixture
def server_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    return settings_in(SERVER, SERVER["spec"]["containers"][0], monkeypatch, tmp_path)


def test_it_is_told_to_stop_long_enough_before_it_is_killed(server_settings: Settings) -> None:
    needed = server_settings.drain_delay_seconds + server_settings.grace_seconds
    assert SERVER["spec"]["terminationGracePeriodSeconds"] >= needed + 10
    # Callers' deadlines, but for streams, which they take up again elsewhere.
    assert server_settings.grace_seconds >= server_settings.default_deadline_seconds


def test_a_pod_is_taken_out_before_it_refuses_calls(server_settings: Settings) -> None:
    probe = SERVER["spec"]["containers"][0]["readinessProbe"]
    assert server_settings.drain_delay_seconds > probe["periodSeconds"] * probe["failureThreshold"]


def test_ports_are_those_that_it_listens_on(server_settings: Settings) -> None:
    [container] = SERVER["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert server_settings.listen_address == f"0.0.0.0:{ports['grpc']}"
    assert server_settings.health_address == f"0.0.0.0:{ports['health']}"
    probes = {kind: container[f"{kind}Probe"]["grpc"] for kind in ("startup", "liveness")}
    alive = {"port": ports["health"], "service": SERVICE_NAME}
    assert probes == {"startup": alive, "liveness": alive}
    assert container["readinessProbe"]["grpc"] == {"port": ports["health"]}
    named = [one["targetPort"] for one in the("Service")["spec"]["ports"]]
    for rule in the("NetworkPolicy", "training-server")["spec"]["ingress"]:
        named += [one["port"] for one in rule["ports"]]
    assert set(named) == {"grpc", "metrics"} <= set(ports)


def test_certificates_are_where_the_settings_say_and_change_where_they_are(
    server_settings: Settings,
) -> None:
    [container] = SERVER["spec"]["containers"]
    [secret] = [v["secret"] for v in SERVER["spec"]["volumes"] if v["name"] == "tls"]
    assert secret["secretName"] == "training-tls"
    [mount] = [m for m in container["volumeMounts"] if m["name"] == "tls"]
    for file in (
        server_settings.tls_certificate_file,
        server_settings.tls_private_key_file,
        server_settings.tls_client_ca_file,
    ):
        assert file is not None
        assert str(file.parent) == mount["mountPath"]
    assert all("subPath" not in m for m in container["volumeMounts"])


def test_all_pods_together_leave_the_database_connections(server_settings: Settings) -> None:
    most = the("HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    surge = the("Deployment")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    connections = (most + surge) * server_settings.workers * server_settings.pool_max_size
    assert connections + SPARE_CONNECTIONS <= MAX_CONNECTIONS


# What they say of one another.


def selects(selector: Manifest, pods: Manifest) -> bool:
    labels = pods["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_selectors_find_the_server_and_no_job() -> None:
    spread = SERVER["spec"]["topologySpreadConstraints"]
    selectors = [
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", "training-server")["spec"]["podSelector"]["matchLabels"],
        *[one["labelSelector"]["matchLabels"] for one in spread],
    ]
    for selector in selectors:
        assert [name for name, pods in PODS.items() if selects(selector, pods)] == [
            "Deployment-training"
        ]


def test_every_pod_may_connect_to_what_it_needs_and_to_nothing_else() -> None:
    policy = the("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert all(selects(policy["podSelector"]["matchLabels"], pods) for pods in PODS.values())
    ports = {(p["protocol"], p["port"]) for rule in policy["egress"] for p in rule["ports"]}
    assert ports == {("UDP", 53), ("TCP", 53), ("TCP", 5432), ("TCP", 443)}
    assert all(rule["to"] and rule["ports"] for rule in policy["egress"])


def test_callers_get_all_addresses_of_the_service() -> None:
    assert the("Service")["spec"]["clusterIP"] == "None"


def test_a_deploy_takes_nothing_away_before_it_has_brought_something() -> None:
    deployment = the("Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    scaler = the("HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment
    assert scaler["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]
    assert the("PodDisruptionBudget")["spec"]["maxUnavailable"] < scaler["minReplicas"]


@pytest.mark.parametrize("name", PODS)
def test_pods_have_few_rights(name: str) -> None:
    pod = PODS[name]["spec"]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    [uid] = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert (context["runAsUser"], context["runAsGroup"]) == (int(uid), int(uid))
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in containers(PODS[name]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = container["resources"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(resources["requests"])
        assert "memory" in resources["limits"]
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


@pytest.mark.parametrize("name", PODS)
def test_what_is_mounted_is_there(name: str) -> None:
    volumes = {one["name"] for one in PODS[name]["spec"]["volumes"]}
    used = {m["name"] for one in containers(PODS[name]) for m in one["volumeMounts"]}
    assert used == volumes
    for volume in PODS[name]["spec"]["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            assert the("PersistentVolumeClaim", claim["claimName"])


@pytest.mark.parametrize("name", [name for name in PODS if name.startswith("CronJob-")])
def test_jobs_never_run_beside_themselves(name: str) -> None:
    spec = the("CronJob", name.removeprefix("CronJob-"))["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "Etc/UTC")
    [container] = containers(PODS[name])
    # verify fails when it finds something: again, it would find the same.
    limit = spec["jobTemplate"]["spec"]["backoffLimit"]
    assert (limit == 0) == (container["args"][0] == "verify")


def test_images_are_those_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {c["image"] for pods in PODS.values() for c in containers(pods)}
    for folder in (FOLDER, MIGRATION):
        [image] = kustomization(folder)["images"]
        assert ({image["name"]}, image["newTag"]) == (images, version)


def test_settings_get_a_new_name_with_each_change() -> None:
    assert kustomization(FOLDER)["configMapGenerator"] == [
        {"name": "training-settings", "envs": ["settings.env"]}
    ]
    assert "generatorOptions" not in kustomization(FOLDER)
