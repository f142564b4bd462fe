"""The doctor's judgement of settings, certificates and what a database says of itself."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from tests.certificates import Authority
from training_service.cli import app
from training_service.doctor import (
    Finding,
    Verdict,
    check_callers,
    check_certificates,
    check_clock,
    check_distribution,
    check_replica,
    check_replicas,
    check_roles,
    check_schema,
    check_server,
    check_vectors,
)
from training_service.issuer import development_issuer
from training_service.settings import Settings
from training_service.storage.diagnosis import (
    DatabaseFacts,
    DistributionFacts,
    LogFacts,
    SchemaFacts,
    ServerFacts,
    VectorFacts,
)
from training_service.storage.distribution import TABLES
from training_service.storage.health import Privileges
from training_service.storage.migrations import head_revision

ALL = [table.name for table in TABLES]

WELL = DatabaseFacts(
    server=ServerFacts(
        version=180_001,
        login="training_service",
        login_is_superuser=False,
        encoding="UTF8",
        max_connections=97,
        statement_timeout="20s",
        plan_cache_mode="force_generic_plan",
        unsafe_settings=[],
        extensions=["plpgsql", "pg_trgm", "btree_gist"],
    ),
    clock_skew_seconds=0.01,
    clock_error_seconds=0.001,
    missing_roles=[],
    privileges=Privileges("training_app", False, False, False, 0),
    revision=head_revision(),
    schema=SchemaFacts(unprotected_tables=[], exercises=249),
)


def findings(facts: DatabaseFacts, **settings: Any) -> list[Finding]:
    given = Settings(**settings)
    return [
        *check_server(given, facts),
        *check_roles(facts),
        *check_schema(facts),
        check_clock(facts),
    ]


def the_one(found: list[Finding]) -> Finding:
    """Returns the one thing that is wrong, which says what to do."""
    [wrong] = [one for one in found if one.verdict is not Verdict.OK]
    assert wrong.remedy
    return wrong


def test_nothing_is_wrong_where_all_is_well() -> None:
    found = findings(WELL)
    assert {one.verdict for one in found} == {Verdict.OK}
    assert len(found) >= 6


@pytest.mark.parametrize(
    ("server", "check", "verdict", "seen"),
    [
        ({"version": 140_010}, "database version", "failed", "PostgreSQL 14"),
        ({"encoding": "SQL_ASCII"}, "encoding", "failed", "SQL_ASCII"),
        ({"max_connections": 9}, "connections", "warning", "1 workers × 10, of 9"),
        ({"unsafe_settings": ["fsync"]}, "durability", "warning", "fsync = off"),
        ({"login_is_superuser": True}, "roles", "warning", "is a superuser"),
        ({"extensions": ["pg_trgm"]}, "extensions", "failed", "missing: btree_gist"),
    ],
)
def test_what_a_server_may_lack(
    server: dict[str, Any], check: str, verdict: str, seen: str
) -> None:
    wrong = the_one(findings(replace(WELL, server=WELL.server._replace(**server))))
    assert (wrong.check, wrong.verdict) == (check, verdict)
    assert seen in wrong.seen


PRIMARY = LogFacts(is_replica=False, is_paused=False, cluster=1, lsn=5 * 2**20)
REPLICA = LogFacts(is_replica=True, is_paused=False, cluster=1, lsn=3 * 2**20)


@pytest.mark.parametrize(
    ("replica", "seen"),
    [
        (PRIMARY, "it is no replica"),
        (REPLICA._replace(cluster=2), "a replica, but not of this primary"),
        (REPLICA._replace(is_paused=True), "it replays no more, 2.0 MiB of log behind the primary"),
    ],
)
def test_a_replica_that_is_not_read_from(replica: LogFacts, seen: str) -> None:
    assert the_one([check_replica("replica 1", replica, PRIMARY)]).seen == seen


def test_a_replica_says_how_far_behind_it_is() -> None:
    found = check_replica("replica 1", REPLICA, PRIMARY)
    assert (found.verdict, found.seen) == (Verdict.OK, "2.0 MiB of log behind the primary")
    ahead = check_replica("replica 1", REPLICA._replace(lsn=6 * 2**20), PRIMARY)
    assert ahead.seen == "0.0 MiB of log behind the primary"
    assert check_replica("replica 1", REPLICA, None).verdict is Verdict.OK


def test_replicas_of_a_coordinator_are_of_no_use() -> None:
    spread = replace(WELL, distribution=DistributionFacts([], are_settings_propagated=True))
    nowhere = ("postgresql://127.0.0.1:1/nothing",)
    away, useless = check_replicas(Settings(replica_urls=nowhere), spread)
    assert (away.check, away.verdict) == ("replica 1", Verdict.WARNING)
    assert "the primary answers meanwhile" in away.remedy
    assert (useless.check, useless.verdict) == ("replicas", Verdict.WARNING)
    assert not list(check_replicas(Settings(), spread))


def test_all_workers_count_for_connections() -> None:
    assert the_one(findings(WELL, workers=10)).check == "connections"
    found = findings(WELL, workers=9)
    assert all(one.verdict is Verdict.OK for one in found)


def test_a_login_without_a_role_must_bring_the_settings_of_its_connections() -> None:
    bare = WELL.server._replace(statement_timeout="0", plan_cache_mode="auto")
    found = findings(replace(WELL, server=bare), database_role="")
    remedies = [one.remedy for one in found if one.verdict is Verdict.WARNING]
    assert remedies == [
        "ALTER ROLE training_service SET statement_timeout = '20s'",
        "ALTER ROLE training_service SET plan_cache_mode = 'force_generic_plan'",
    ]
    assert all(one.verdict is Verdict.OK for one in findings(replace(WELL, server=bare)))


@pytest.mark.parametrize(
    ("privileges", "seen"),
    [
        ({"is_superuser": True}, "not subject to row-level security"),
        ({"bypasses_row_security": True}, "not subject to row-level security"),
        ({"sees_all_athletes": True}, "sees all athletes"),
        ({"owned_tables": 1}, "owns tables"),
    ],
)
def test_a_role_that_is_too_strong(privileges: dict[str, Any], seen: str) -> None:
    assert WELL.privileges
    strong = WELL.privileges._replace(**privileges)
    wrong = the_one(findings(replace(WELL, privileges=strong)))
    assert (wrong.check, wrong.verdict) == ("roles", "failed")
    assert seen in wrong.seen


def test_roles_that_are_missing_come_with_the_grant() -> None:
    wrong = the_one(findings(replace(WELL, missing_roles=["training_coach"])))
    assert wrong.verdict is Verdict.FAILED
    assert "GRANT training_coach TO training_service" in wrong.remedy


def test_every_role_of_the_settings_is_looked_for() -> None:
    assert {"training_app", "training_reader", "training_grantee", "training_coach"} <= set(
        Settings().database_roles
    )
    assert "" not in Settings(database_role="").database_roles


@pytest.mark.parametrize("revision", [None, "0001"])
def test_migrations_that_are_pending(revision: str | None) -> None:
    wrong = the_one(findings(replace(WELL, revision=revision)))
    assert (wrong.check, wrong.verdict) == ("schema", "failed")
    assert "training-service migrate" in wrong.remedy


def test_a_schema_of_a_later_version_is_right_during_an_upgrade_alone() -> None:
    wrong = the_one(findings(replace(WELL, revision="9999")))
    assert (wrong.check, wrong.verdict) == ("schema", "warning")


@pytest.mark.parametrize(
    ("schema", "check", "verdict"),
    [
        (None, "schema", "failed"),
        (SchemaFacts(["sessions"], 249), "row-level security", "failed"),
        (SchemaFacts([], 0), "catalogue", "warning"),
    ],
)
def test_what_a_schema_may_lack(schema: SchemaFacts | None, check: str, verdict: str) -> None:
    wrong = the_one(findings(replace(WELL, schema=schema)))
    assert (wrong.check, wrong.verdict) == (check, verdict)


@pytest.mark.parametrize(
    ("vectors", "verdict", "seen", "remedy"),
    [
        (VectorFacts(False, False), "ok", "off: the server does not have", ""),
        (VectorFacts(True, False), "ok", "off: the extension vector is not in use", "CREATE"),
        (VectorFacts(True, True, 0, 249), "ok", "off: no exercise has a vector", "embed"),
        (VectorFacts(True, True, 249, 1), "warning", "vectors of 1 exercises are missing", "embed"),
        (VectorFacts(True, True, 249, 0), "ok", "on: 249 vectors", ""),
    ],
)
def test_whether_similar_exercises_are_known(
    vectors: VectorFacts, verdict: str, seen: str, remedy: str
) -> None:
    [found] = check_vectors(replace(WELL, vectors=vectors))
    assert found.verdict == verdict
    assert found.seen.startswith(seen)
    assert remedy in found.remedy
    assert [*check_vectors(WELL)] == []


@pytest.mark.parametrize(
    ("distribution", "verdict", "seen", "remedy"),
    [
        (DistributionFacts(ALL, False), "ok", "the extension citus is there", ""),
        (DistributionFacts([], True), "ok", f"{len(ALL)} tables are on the nodes", ""),
        (DistributionFacts(["goals"], True), "failed", "on the coordinator alone: goals", "distr"),
        (DistributionFacts([], False), "failed", "nodes don't learn whose rows", "propagate_set"),
    ],
)
def test_how_an_installation_is_spread(
    distribution: DistributionFacts, verdict: str, seen: str, remedy: str
) -> None:
    [found] = check_distribution(replace(WELL, distribution=distribution))
    assert found.verdict == verdict
    assert found.seen.startswith(seen)
    assert remedy in found.remedy
    assert [*check_distribution(WELL)] == []


@pytest.mark.parametrize(
    ("skew", "error", "verdict"),
    [
        (0.9, 0.0, "ok"),
        (-1.5, 0.1, "warning"),
        (1.5, 1.0, "ok"),  # the network may account for it
        (-31.0, 0.1, "failed"),
        (31.0, 0.1, "failed"),
    ],
)
def test_clocks_that_differ(skew: float, error: float, verdict: str) -> None:
    facts = replace(WELL, clock_skew_seconds=skew, clock_error_seconds=error)
    assert check_clock(facts).verdict == verdict


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def with_certificates(certificate: Path, key: Path, authority: Authority) -> Settings:
    return Settings(
        tls_certificate_file=certificate,
        tls_private_key_file=key,
        tls_client_ca_file=authority.file,
    )


def verdicts(settings: Settings, now: datetime) -> list[tuple[str, str]]:
    return [(one.verdict, one.seen) for one in check_certificates(settings, now)]


def test_certificates_by_their_time(authority: Authority) -> None:
    """Those of the test's authority are good from five minutes ago for a day."""
    certificate, key = authority.issue("training.internal")
    key.chmod(0o600)
    settings = with_certificates(certificate, key, authority)

    now = datetime.now(UTC)
    soon = verdicts(settings, now)
    assert [v for v, _ in soon] == ["warning", "ok", "warning"]
    assert "TRAINING_TLS_CERTIFICATE_FILE: expires on" in soon[0][1]
    assert "TRAINING_TLS_CLIENT_CA_FILE: expires on" in soon[2][1]

    late = verdicts(settings, now + timedelta(days=2))
    assert [v for v, _ in late] == ["failed", "ok", "failed"]
    assert "expired on" in late[0][1]

    early = verdicts(settings, now - timedelta(days=1))
    assert [v for v, _ in early] == ["failed", "ok", "failed"]
    assert "not valid before" in early[0][1]


def test_a_key_that_others_may_read_or_that_is_of_another_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("training.internal")
    key.chmod(0o644)
    seen = verdicts(with_certificates(certificate, key, authority), datetime.now(UTC))
    assert (
        "warning",
        "TRAINING_TLS_PRIVATE_KEY_FILE: every user of this machine may read it",
    ) in seen

    other = tmp_path / "other.key"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    seen = verdicts(with_certificates(certificate, other, authority), datetime.now(UTC))
    assert ("failed", "TRAINING_TLS_PRIVATE_KEY_FILE: it is not the key of the certificate") in seen

    seen = verdicts(with_certificates(authority.file, key, authority), datetime.now(UTC))
    assert any(v == "failed" for v, _ in seen)


@pytest.mark.parametrize("content", [None, "nothing of the kind"])
def test_files_that_are_not_there_or_hold_something_else(
    content: str | None, authority: Authority, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    if content:
        wrong.write_text(content)
    settings = Settings(tls_certificate_file=wrong, tls_private_key_file=wrong)
    assert [v for v, _ in verdicts(settings, datetime.now(UTC))] == ["failed", "failed"]


def callers(**settings: Any) -> Finding:
    [found] = check_callers(Settings(**settings))
    return found


def by_token(jwks: object, **settings: Any) -> Finding:
    return callers(
        authentication="jwt", jwt_jwks=str(jwks), jwt_issuer="i", jwt_audience="a", **settings
    )


def test_whom_the_service_believes(authority: Authority, tmp_path: Path) -> None:
    assert callers().verdict is Verdict.OK
    assert callers(listen_address="0.0.0.0:50051", trust_any_peer=True).verdict is Verdict.WARNING
    certificate, key = authority.issue("training.internal")
    files = {"tls_certificate_file": certificate, "tls_private_key_file": key}
    assert callers(tls_client_ca_file=authority.file, **files).verdict is Verdict.OK

    development_issuer(Settings(data_directory=tmp_path))
    keys = tmp_path / "issuer" / "jwks.json"
    assert by_token(keys).verdict is Verdict.OK
    assert by_token(keys, jwt_algorithms=("EdDSA",)).verdict is Verdict.FAILED
    assert by_token(tmp_path / "absent.json").verdict is Verdict.FAILED
    keys.write_text("{}")
    assert by_token(keys).verdict is Verdict.FAILED


def test_a_wrong_setting_is_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_WORKERS", "many")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    [found] = json.loads(result.stdout)
    assert (found["check"], found["verdict"]) == ("settings", "failed")
    assert "TRAINING_WORKERS" in found["seen"]


def test_a_database_that_is_not_there_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "database" in result.stdout
    assert "Start PostgreSQL" in result.stdout
