"""What is wrong with an installation, and what to do about each thing."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtensionOID
from rich.table import Table
from rich.text import Text

from training_service.interceptors.identity import read_key_set
from training_service.settings import Settings
from training_service.storage.diagnosis import (
    DatabaseFacts,
    DatabaseUnreachableError,
    LogFacts,
    diagnose,
    diagnose_replica,
)
from training_service.storage.distribution import TABLES
from training_service.storage.health import excess
from training_service.storage.migrations import earlier_revisions, head_revision

OLDEST_POSTGRESQL = 15
EXTENSIONS = ("btree_gist", "pg_trgm")
SKEW_NOTICED_SECONDS = 1.0
"""Times of the service and of the database stand in the same rows, and grants end by the latter."""
SKEW_WRONG_SECONDS = 30.0
"""As much as a token's times may be off: TRAINING_JWT_LEEWAY_SECONDS by default."""
EXPIRY_NOTICE = timedelta(days=30)
RENEWAL = "Renew it: a server takes the new file up by itself."
EXTENSION = (
    "training-service embed; where that may not, CREATE EXTENSION vector as an administrator first."
)
OTHERS_MAY_READ = 0o007


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The service runs, and somebody should look."""
    FAILED = "failed"
    """The service does not run, or not as it should."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and what to do."""

    check: str
    verdict: Verdict
    seen: str
    remedy: str = ""


def _ok(check: str, seen: str) -> Finding:
    return Finding(check, Verdict.OK, seen)


def _warning(check: str, seen: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARNING, seen, remedy)


def _failed(check: str, seen: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAILED, seen, remedy)


def examine(settings: Settings, url: str, now: datetime) -> Iterator[Finding]:
    """Yields what there is to say of an installation, as it is found. Changes nothing."""
    yield from check_callers(settings)
    yield from check_certificates(settings, now)
    try:
        facts = diagnose(url, settings.database_role, settings.database_roles)
    except DatabaseUnreachableError as error:
        yield _failed(
            "database",
            str(error),
            "Start PostgreSQL, or correct TRAINING_DATABASE_URL; nothing else of it was looked at.",
        )
        return
    yield from check_server(settings, facts)
    yield from check_roles(facts)
    if settings.database_role not in facts.missing_roles:
        yield from check_schema(facts)
        yield from check_vectors(facts)
        yield from check_distribution(facts)
    yield from check_replicas(settings, facts)
    yield check_clock(facts)


def check_callers(settings: Settings) -> Iterator[Finding]:
    """Yields whom the service believes."""
    check = "callers"
    if settings.authentication == "jwt":
        yield _check_keys(settings)
    elif settings.trust_any_peer:
        yield _warning(
            check,
            f"whoever reaches {settings.listen_address} is believed to be who they say",
            "Let peers show a certificate (TRAINING_TLS_CLIENT_CA_FILE), or see that the network "
            "lets nobody else in.",
        )
    elif settings.tls_client_ca_file:
        yield _ok(check, "peers with a certificate say who calls")
    else:
        yield _ok(check, f"peers on {settings.listen_address}, this machine alone, say who calls")


def _check_keys(settings: Settings) -> Finding:
    check, location = "token keys", settings.jwt_jwks
    remedy = "Correct TRAINING_JWT_JWKS, or set the issuer right: no token can be verified."
    try:
        keys = jwt.PyJWKSet.from_json(read_key_set(location)).keys
    except (OSError, ValueError, jwt.PyJWTError) as error:
        return _failed(check, f"{location}: {error}", remedy)
    usable = [key for key in keys if key.algorithm_name in settings.jwt_algorithms]
    if not usable:
        return _failed(
            check,
            f"{location}: none of {len(keys)} keys is for {', '.join(settings.jwt_algorithms)}",
            "Add the issuer's algorithm to TRAINING_JWT_ALGORITHMS.",
        )
    return _ok(check, f"{location}: {len(usable)} keys")


def check_certificates(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Yields what is to be said of the PEM files of the settings."""
    files = settings.tls_certificate_file, settings.tls_private_key_file
    if not files[0] or not files[1]:
        return
    yield from _check_chain("TRAINING_TLS_CERTIFICATE_FILE", files[0], now)
    yield from _check_key(files[0], files[1])
    if settings.tls_client_ca_file:
        yield from _check_chain("TRAINING_TLS_CLIENT_CA_FILE", settings.tls_client_ca_file, now)


def _check_chain(name: str, file: Path, now: datetime) -> Iterator[Finding]:
    check = "certificates"
    try:
        chain = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        yield _failed(check, f"{name}: {error}", "Mount a PEM file with certificates.")
        return
    ends = min(one.not_valid_after_utc for one in chain)
    begins = max(one.not_valid_before_utc for one in chain)
    if begins > now:
        yield _failed(check, f"{name}: not valid before {begins:%F %R} UTC", "Look at the clock.")
    elif ends <= now:
        yield _failed(check, f"{name}: expired on {ends:%F %R} UTC", RENEWAL)
    elif ends - now < EXPIRY_NOTICE:
        yield _warning(check, f"{name}: expires on {ends:%F %R} UTC", RENEWAL)
    else:
        yield _ok(check, f"{name}: until {ends:%F}")


def _check_key(certificate_file: Path, key_file: Path) -> Iterator[Finding]:
    check, name = "certificates", "TRAINING_TLS_PRIVATE_KEY_FILE"
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        yield _failed(check, f"{name}: {error}", "Mount the PEM key of the certificate, unlocked.")
        return
    if key.public_key() != certificate.public_key():
        yield _failed(check, f"{name}: it is not the key of the certificate", "Mount both anew.")
        return
    if not _has_names(certificate):
        yield _failed(
            check,
            "TRAINING_TLS_CERTIFICATE_FILE: it is for no name (subjectAltName)",
            "Issue it for the names that clients call: they look at nothing else.",
        )
    if key_file.stat().st_mode & OTHERS_MAY_READ:
        yield _warning(check, f"{name}: every user of this machine may read it", "chmod o= it.")
    else:
        yield _ok(check, f"{name}: the key of the certificate")


def _has_names(certificate: x509.Certificate) -> bool:
    try:
        names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return False
    return bool(list(names.value))  # type: ignore[call-overload]


def check_server(settings: Settings, facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields what is to be said of the PostgreSQL server, whatever is in it."""
    server = facts.server
    major = server.version // 10_000
    if major < OLDEST_POSTGRESQL:
        yield _failed(
            "database version",
            f"PostgreSQL {major}",
            f"Upgrade it: {OLDEST_POSTGRESQL} is the oldest that the service works with.",
        )
    else:
        yield _ok("database version", f"PostgreSQL {major}.{server.version % 10_000}")
    if server.encoding != "UTF8":
        yield _failed("encoding", server.encoding, "Create the database anew with ENCODING 'UTF8'.")
    if server.unsafe_settings:
        yield _warning(
            "durability",
            f"{', '.join(server.unsafe_settings)} = off",
            "Turn it on: without it the server may lose what the service acknowledged.",
        )
    yield _check_connections(settings, facts)
    yield from _check_own_login(settings, facts)


def _check_connections(settings: Settings, facts: DatabaseFacts) -> Finding:
    check = "connections"
    most, allowed = settings.workers * settings.pool_max_size, facts.server.max_connections
    seen = f"{settings.workers} workers × {settings.pool_max_size}, of {allowed} that there may be"
    if most > allowed:
        return _warning(
            check,
            seen,
            "Lower TRAINING_POOL_MAX_SIZE, raise max_connections, or put a pooler between. "
            "Count all instances of the service.",
        )
    return _ok(check, seen)


def _check_own_login(settings: Settings, facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields which settings the login lacks that the service does not bring itself."""
    if settings.database_role:
        return
    login = facts.server.login
    if facts.server.statement_timeout == "0":
        yield _warning(
            "login's settings",
            "a statement may take for ever",
            f"ALTER ROLE {login} SET statement_timeout = '20s'",
        )
    if facts.server.plan_cache_mode != "force_generic_plan":
        yield _warning(
            "login's settings",
            "statements are planned anew for each athlete",
            f"ALTER ROLE {login} SET plan_cache_mode = 'force_generic_plan'",
        )


def check_roles(facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields whether the roles are there, and as weak as they should be."""
    check, login = "roles", facts.server.login
    if facts.missing_roles:
        names = ", ".join(facts.missing_roles)
        yield _failed(
            check,
            f"login {login} can't take on {names}",
            f"After training-service migrate, as an administrator: GRANT {names} TO {login}",
        )
    if facts.privileges is None:
        return
    wrong = excess(facts.privileges)
    if wrong:
        yield _failed(
            check,
            wrong,
            "Let the service log in as a role of its own (docs/operations.md); it refuses to serve "
            "until then.",
        )
    elif facts.server.login_is_superuser:
        yield _warning(
            check,
            f"statements run as {facts.privileges.role}, but login {login} is a superuser",
            "Let the service log in as a role of its own (docs/operations.md).",
        )
    elif not facts.missing_roles:
        yield _ok(check, f"{login} as {facts.privileges.role}: owns nothing, sees one athlete")


def check_schema(facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields whether the schema is what this version needs."""
    check, head = "schema", head_revision()
    if facts.revision is None or facts.revision in earlier_revisions(head):
        yield _failed(
            check,
            f"at revision {facts.revision}, {head} is needed",
            "training-service migrate, then training-service seed.",
        )
        return
    if facts.revision != head:
        yield _warning(
            check,
            f"at revision {facts.revision}, unknown to this version, which needs {head}",
            "Right during an upgrade; afterwards, replace this version.",
        )
    else:
        yield _ok(check, f"at revision {head}")
    missing = [one for one in EXTENSIONS if one not in facts.server.extensions]
    if missing:
        yield _failed("extensions", f"missing: {', '.join(missing)}", "CREATE EXTENSION them.")
    if facts.schema is None:
        yield _failed(
            check,
            "tables can't be read",
            "Give training_app its rights back: compare \\dp training.* with a fresh installation.",
        )
        return
    if facts.schema.unprotected_tables:
        yield _failed(
            "row-level security",
            f"off for {', '.join(facts.schema.unprotected_tables)}",
            "ALTER TABLE training.… ENABLE ROW LEVEL SECURITY, and find out who turned it off.",
        )
    else:
        yield _ok("row-level security", "on for all tables of athletes' data")
    if not facts.schema.exercises:
        yield _warning("catalogue", "there are no exercises", "training-service seed.")
    else:
        yield _ok("catalogue", f"{facts.schema.exercises} exercises")


def check_vectors(facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields whether it is known how alike exercises are, which the service can do without."""
    check, of, remedy = "similar exercises", facts.vectors, "training-service embed."
    if of is None:
        return
    if of.is_on and of.vectors and of.stale:
        yield _warning(check, f"vectors of {of.stale} exercises are missing or stale", remedy)
    elif of.is_on and of.vectors:
        yield _ok(check, f"on: {of.vectors} vectors")
    elif of.is_on:
        yield Finding(check, Verdict.OK, "off: no exercise has a vector", remedy)
    elif of.is_available:
        yield Finding(check, Verdict.OK, "off: the extension vector is not in use", EXTENSION)
    else:
        yield _ok(check, "off: the server does not have the extension vector (pgvector)")


def check_distribution(facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields how the installation is spread over several machines, if the database has Citus."""
    check, of = "distribution", facts.distribution
    if of is None:
        return
    if len(of.here) == len(TABLES):
        yield _ok(check, "the extension citus is there, and no table is distributed")
        return
    if of.here:
        seen = f"on the coordinator alone: {', '.join(of.here)}"
        yield _failed(check, seen, "Stop the service, then training-service distribute.")
    if not of.are_settings_propagated:
        yield _failed(
            check,
            "nodes don't learn whose rows a transaction may see, and show none",
            "ALTER DATABASE … SET citus.propagate_set_commands = 'local'; restart the service.",
        )
    if not of.here and of.are_settings_propagated:
        yield _ok(check, f"{len(TABLES)} tables are on the nodes of a Citus cluster")


def check_replicas(settings: Settings, facts: DatabaseFacts) -> Iterator[Finding]:
    """Yields whether each replica that is set up can be read from."""
    for number, url in enumerate(settings.replica_urls, start=1):
        check = f"replica {number}"
        try:
            log = diagnose_replica(url)
        except DatabaseUnreachableError as error:
            remedy = "Start it, or correct TRAINING_REPLICA_URLS; the primary answers meanwhile."
            yield _warning(check, str(error), remedy)
        else:
            yield check_replica(check, log, facts.log)
    if settings.replica_urls and facts.distribution and not facts.distribution.here:
        yield _warning(
            "replicas",
            "a replica of the coordinator knows nothing of the other nodes' log",
            "Leave TRAINING_REPLICA_URLS empty, and give each node a standby (docs/scaling.md).",
        )


def check_replica(check: str, log: LogFacts, primary: LogFacts | None) -> Finding:
    """Returns whether a server is a replica of the primary that keeps up."""
    if not log.is_replica:
        return _warning(check, "it is no replica", "Correct TRAINING_REPLICA_URLS.")
    if primary is None:
        return _ok(check, "a replica; how far the primary is can't be read")
    if log.cluster != primary.cluster:
        return _warning(
            check, "a replica, but not of this primary", "Correct TRAINING_REPLICA_URLS."
        )
    behind = f"{max(primary.lsn - log.lsn, 0) / 2**20:.1f} MiB of log behind the primary"
    if log.is_paused:
        return _warning(
            check, f"it replays no more, {behind}", "There: SELECT pg_wal_replay_resume()."
        )
    return _ok(check, behind)


def check_clock(facts: DatabaseFacts) -> Finding:
    """Returns whether this machine and the database's tell the same time."""
    check, skew = "clock", facts.clock_skew_seconds
    seen = f"the database's is {skew:+.3f} s off, ± {facts.clock_error_seconds:.3f} s"
    certain = abs(skew) - facts.clock_error_seconds
    remedy = "Let both keep time by NTP, and look at which of them is wrong."
    if certain > SKEW_WRONG_SECONDS:
        return _failed(check, seen, remedy)
    if certain > SKEW_NOTICED_SECONDS:
        return _warning(check, seen, remedy)
    return _ok(check, seen)


def to_json(findings: Sequence[Finding]) -> str:
    """Returns findings for a machine."""
    return json.dumps([vars(one) for one in findings], indent=2)


def to_table(findings: Sequence[Finding]) -> Table:
    """Returns findings for people."""
    table = Table(box=None, show_header=False)
    for one in findings:
        style = {"warning": "yellow", "failed": "red"}.get(one.verdict, "green")
        lines = f"{one.seen}\n→ {one.remedy}" if one.remedy else one.seen
        table.add_row(Text(one.verdict, style=style), one.check, Text(lines))
    return table
