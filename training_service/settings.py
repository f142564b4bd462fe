"""Settings, each an environment variable with the prefix TRAINING_, or a file of that name."""

import difflib
import os
import re
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "TRAINING_"
SECRETS_DIRECTORY = "TRAINING_SECRETS_DIRECTORY"
MAX_PORT = 65535
POSTGRESQL_URL = r"^postgres(ql)?://|^$"
ASYMMETRIC_ALGORITHMS = frozenset(
    {f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}
)


class SettingsError(Exception):
    """A setting is wrong; the message names it."""


class Settings(BaseSettings):
    """How the service runs. The defaults suit a developer's machine.

    What is secret is left out of its representation, which might come into a log.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    secrets_directory: Path | None = Field(
        None,
        description="Folder with files named like these variables, or like a store's credentials "
        "(AWS_SECRET_ACCESS_KEY), each with a value. Variables are stronger.",
    )
    database_url: str = Field(
        "",
        repr=False,
        pattern=POSTGRESQL_URL,
        description="PostgreSQL URL of the service's login. Empty: the embedded PostgreSQL.",
    )
    replica_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="PostgreSQL URLs of streaming replicas, separated by spaces: metrics, charts, "
        "loads, rosters and exports are read from them (docs/replicas.md). Each has a pool like "
        "the primary's.",
    )
    replica_wait_ms: int = Field(
        100,
        ge=0,
        le=60_000,
        description="Longest wait for a replica to have what a call must see; then the primary "
        "answers.",
    )
    replica_max_lag_seconds: float = Field(
        10.0,
        ge=3,
        le=3600,
        description="How old what a replica answers may be for a caller without a token; one that "
        "is further behind is left out.",
    )
    migration_database_url: str = Field(
        "",
        repr=False,
        pattern=POSTGRESQL_URL,
        description="PostgreSQL URL of the owner of the schema, for migrate and seed. "
        "Empty: the same as database_url.",
    )
    database_role: str = Field(
        "training_app",
        pattern=r"^[a-z_][a-z0-9_]*$|^$",
        description="Role each connection takes on, with no more rights than the service needs. "
        "Empty: the login is itself such a role (needed behind a transaction pooler).",
    )
    database_reader_role: str = Field(
        "training_reader",
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="Role that a connection takes on while it reads the sessions of all athletes "
        "for a sibling service. The login must be a member of it.",
    )
    database_grantee_role: str = Field(
        "training_grantee",
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="Role that a connection takes on while somebody makes use of an athlete's "
        "grant. The login must be a member of it.",
    )
    database_coach_role: str = Field(
        "training_coach",
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="Role that a connection takes on for what is read of many athletes at once, "
        "such as a coach's roster. The login must be a member of it.",
    )
    database_eraser_role: str = Field(
        "training_eraser",
        pattern=r"^[a-z_][a-z0-9_]*$",
        description="Role that a connection takes on while it erases a user. The login must be a "
        "member of it.",
    )
    receipt_key_file: Path | None = Field(
        None,
        description="PEM private key (Ed25519) that receipts of erasure are signed with. Empty: "
        "one that follows from the installation's key.",
    )
    data_directory: Path = Field(
        Path(".data"), description="Folder for the embedded PostgreSQL's data."
    )
    model_directory: Path | None = Field(
        None,
        description="Folder that training-service train-model wrote. Empty, or when its card says "
        "off: baselines forecast alone.",
    )
    archive_url: str = Field(
        "",
        pattern=r"^(file:///.|(s3|gs|az)://[A-Za-z0-9._-]+(/|$))|^$",
        description="Where the archive keeps old sessions: file:///folder, or s3://bucket/prefix "
        "with the usual AWS_ variables. Empty: the folder archive in data_directory.",
    )
    archive_after_days: int = Field(
        730, ge=0, le=36_500, description="Age of the sessions that training-service archive moves."
    )
    pool_min_size: int = Field(2, ge=1, le=200, description="Connections kept open by a worker.")
    pool_max_size: int = Field(10, ge=1, le=200, description="Most connections of a worker.")
    pool_timeout_seconds: float = Field(
        3.0, gt=0, le=60, description="Longest wait for a free connection before UNAVAILABLE."
    )
    statement_timeout_seconds: float = Field(
        20.0, gt=0, le=3600, description="Longest time for one statement, set on every connection."
    )
    prepare_statements: bool = Field(
        True,
        description="Whether statements are prepared by name. False behind a transaction pooler "
        "that can't keep them apart (PgBouncer before 1.22).",
    )

    listen_address: str = Field(
        "127.0.0.1:50051",
        pattern=r"^.+:\d{1,5}$",
        description="Where gRPC is served, host and port.",
    )
    health_address: str = Field(
        "",
        pattern=r"^.+:\d{1,5}$|^$",
        description="Where gRPC health alone is served too, without TLS, for an orchestrator that "
        "has no certificate. Empty: nowhere.",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that share the port.")
    grace_seconds: float = Field(
        10.0, ge=0, le=300, description="Time for calls under way to finish after SIGTERM."
    )
    drain_delay_seconds: float = Field(
        0.0,
        ge=0,
        le=300,
        description="Time between reporting NOT_SERVING and refusing new calls, so that load "
        "balancers notice first.",
    )
    default_deadline_seconds: float = Field(
        30.0, gt=0, le=3600, description="Deadline of a call that brings none, and the longest."
    )
    stream_deadline_seconds: float = Field(
        300.0,
        gt=0,
        le=86400,
        description="The same for a stream, which can be resumed after it.",
    )
    form_deadline_seconds: float = Field(
        43_200.0,
        gt=0,
        le=86400,
        description="The same for the analysis of form as it is recorded, which lasts as long as "
        "its frames come.",
    )
    form_idle_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Longest time between two messages of that analysis, and for its caller to "
        "take an answer.",
    )
    health_interval_seconds: float = Field(
        2.0, gt=0, le=60, description="How often the database is asked whether it is well."
    )
    max_receive_bytes: int = Field(
        3_500_000,
        ge=65536,
        le=256 * 1024 * 1024,
        description="Largest request. What is stored is sent back, and clients take 4 MiB unless "
        "told otherwise.",
    )
    max_concurrent_streams: int = Field(
        1000, ge=1, le=100000, description="Most calls at a time on one HTTP/2 connection."
    )
    max_calls_in_flight: int = Field(
        100, ge=1, le=100000, description="Most calls a worker has under way; more are refused."
    )
    max_form_streams: int = Field(
        50,
        ge=1,
        le=100000,
        description="Most analyses of form as it is recorded that a worker has under way, beside "
        "other calls; more are refused. Each takes up to about one hundredth of a core.",
    )
    max_calls_waiting: int = Field(
        200,
        ge=1,
        le=100000,
        description="Most calls that wait until a worker begins with them; more are cancelled.",
    )
    rate_limit_store: Literal["process", "database"] = Field(
        "process",
        description="Where callers' budgets are kept. process: each worker has its own. database: "
        "all workers on the database share them.",
    )
    rate_reads_per_second: float = Field(
        200.0,
        ge=0,
        le=1_000_000,
        description="Reads that a caller may make in the long run. 0: no limit, here and below.",
    )
    rate_reads_burst: int = Field(
        400, ge=1, le=1_000_000, description="Reads that a caller may make at once."
    )
    rate_writes_per_second: float = Field(
        100.0, ge=0, le=1_000_000, description="Writes that a caller may make in the long run."
    )
    rate_writes_burst: int = Field(
        200, ge=1, le=1_000_000, description="Writes that a caller may make at once."
    )
    rate_streams_per_second: float = Field(
        10.0, ge=0, le=1_000_000, description="Streams that a caller may begin in the long run."
    )
    rate_streams_burst: int = Field(
        50, ge=1, le=1_000_000, description="Streams that a caller may begin at once."
    )
    rate_charts_per_second: float = Field(
        5.0, ge=0, le=1_000_000, description="Charts that a caller may ask for in the long run."
    )
    rate_charts_burst: int = Field(
        20, ge=1, le=1_000_000, description="Charts that a caller may ask for at once."
    )
    rate_service_factor: float = Field(
        10.0,
        ge=1,
        le=10_000,
        description="How many times as much a caller with the SERVICE role may call, who calls for "
        "many athletes.",
    )
    max_streams_per_caller: int = Field(
        10,
        ge=0,
        le=100_000,
        description="Most streams of a caller that a worker has open. 0: no limit.",
    )
    quota_workouts: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Most workouts of an athlete, deleted ones apart. 0: no limit, here and below.",
    )
    quota_phases: int = Field(
        5000, ge=0, le=1_000_000, description="Most training phases of an athlete."
    )
    quota_sessions_a_day: int = Field(
        10_000,
        ge=0,
        le=1_000_000,
        description="Most sessions that are logged for an athlete on a day in UTC, amended ones "
        "and imported ones among them.",
    )
    abuse_threshold: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="How many refusals of a caller in a minute are said in the log. 0: none.",
    )
    reflection: bool = Field(True, description="Whether gRPC reflection and channelz are served.")

    tls_certificate_file: Path | None = Field(None, description="PEM certificate chain.")
    tls_private_key_file: Path | None = Field(None, description="PEM private key.")
    tls_client_ca_file: Path | None = Field(
        None, description="PEM certificates of the CAs that peers must be certified by (mTLS)."
    )

    authentication: Literal["metadata", "jwt"] = Field(
        "metadata",
        description="metadata: trust x-external-user-id and x-caller-scope from the peer, which "
        "has verified the token. jwt: verify the bearer token here.",
    )
    trust_any_peer: bool = Field(
        False,
        description="Allow metadata authentication on a reachable address without mTLS. Only where "
        "the network itself keeps strangers out.",
    )
    jwt_jwks: str = Field("", description="URL or path of the JSON Web Key Set.")
    jwt_issuer: str = Field("", description="Issuer a token must have.")
    jwt_audience: str = Field("", description="Audience a token must have.")
    jwt_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        ("RS256", "ES256"), description="Signature algorithms accepted, separated by commas."
    )
    jwt_leeway_seconds: float = Field(30.0, ge=0, le=300, description="Clock skew tolerated.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log records written."
    )
    log_format: Literal["json", "console"] = Field("json", description="Form of log records.")
    access_log: Literal["stdout", "off"] = Field(
        "stdout",
        description="Where the access record of each call is written, as JSON. Records that are "
        "kept in the database are kept in any case.",
    )

    metrics_address: str = Field(
        "",
        pattern=r"^.+:\d{1,5}$|^$",
        description="Where Prometheus reads metrics over HTTP, host and port, of all workers "
        "together. Anybody who reaches it may read them. Empty: none are kept.",
    )
    otlp_endpoint: str = Field(
        "",
        pattern=r"^https?://[^\s/]+:\d{1,5}$|^$",
        description="OpenTelemetry collector that spans are sent to with OTLP over gRPC, such as "
        "http://collector:4317. Empty: nothing is traced.",
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the calls that are traced among those whose caller does not say "
        "(traceparent).",
    )

    @property
    def database_roles(self) -> list[str]:
        """All roles that connections and transactions of the service take on."""
        fields = type(self).model_fields
        names = [name for name in fields if name.startswith("database_") and name.endswith("role")]
        return [role for name in names if (role := getattr(self, name))]

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        algorithms = values.get("jwt_algorithms")
        if isinstance(algorithms, str):
            values["jwt_algorithms"] = tuple(a.strip() for a in algorithms.split(",") if a.strip())
        urls = values.get("replica_urls")
        if isinstance(urls, str):
            values["replica_urls"] = tuple(urls.split())
        return values

    @field_validator("replica_urls")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # Not said which: it may hold a password.
        if not all(re.match(POSTGRESQL_URL, url) for url in value):
            raise ValueError("each must be a PostgreSQL URL, such as postgresql://host/database")
        return value

    @field_validator("listen_address", "health_address", "metrics_address")
    @classmethod
    def _port_in_range(cls, value: str) -> str:
        if value and int(value.rpartition(":")[2]) > MAX_PORT:
            raise ValueError(f"the port must not be above {MAX_PORT}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pool_min_size > self.pool_max_size:
            raise ValueError("TRAINING_POOL_MIN_SIZE must not be above TRAINING_POOL_MAX_SIZE")
        if (self.tls_certificate_file is None) != (self.tls_private_key_file is None):
            raise ValueError(
                "TRAINING_TLS_CERTIFICATE_FILE and TRAINING_TLS_PRIVATE_KEY_FILE go together"
            )
        if self.tls_client_ca_file and not self.tls_certificate_file:
            raise ValueError("TRAINING_TLS_CLIENT_CA_FILE needs TRAINING_TLS_CERTIFICATE_FILE")
        self._check_authentication()
        return self

    def _check_authentication(self) -> None:
        if self.authentication == "jwt":
            missing = [
                n for n in ("jwt_jwks", "jwt_issuer", "jwt_audience") if not getattr(self, n)
            ]
            if missing:
                names = ", ".join(PREFIX + n.upper() for n in missing)
                raise ValueError(f"TRAINING_AUTHENTICATION=jwt needs {names}")
            if not self.jwt_algorithms or not set(self.jwt_algorithms) <= ASYMMETRIC_ALGORITHMS:
                names = ", ".join(sorted(ASYMMETRIC_ALGORITHMS))
                raise ValueError(f"TRAINING_JWT_ALGORITHMS must be some of {names}")
            return
        is_reachable = not _is_loopback(self.listen_address)
        if is_reachable and not self.tls_client_ca_file and not self.trust_any_peer:
            raise ValueError(
                "TRAINING_AUTHENTICATION=metadata on a reachable TRAINING_LISTEN_ADDRESS needs "
                "TRAINING_TLS_CLIENT_CA_FILE, or TRAINING_TRUST_ANY_PEER=true"
            )


def _is_loopback(listen_address: str) -> bool:
    host = listen_address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: object) -> Settings:
    """Reads the settings from the environment, and from the files of TRAINING_SECRETS_DIRECTORY
    what is not there; overrides come from the command line.

    Raises SettingsError for a value that does not fit, and for a TRAINING_ variable or file that is
    not a setting, naming it.
    """
    _refuse_unknown_names(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**{**_from_files(), **given})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_describe(e["loc"], e["msg"]) for e in error.errors())
        ) from None


def _from_files() -> dict[str, str]:
    """Returns the settings that files give and no variable does."""
    folder = os.environ.get(SECRETS_DIRECTORY)
    files = secret_files(Path(folder), PREFIX) if folder else {}
    _refuse_unknown_names(files)
    # Elsewhere than where it is looked for, it would be ignored.
    if SECRETS_DIRECTORY in files:
        raise SettingsError(f"{SECRETS_DIRECTORY}: it can't be a file in itself")
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in files.items()
        if name not in os.environ
    }


def secret_files(folder: Path, prefix: str) -> dict[str, str]:
    """Returns what is in the files of a folder whose names begin so, by name, without the newline
    at the end.

    Raises SettingsError, which names a file and never says what is in it.
    """
    try:
        files = [file for file in folder.iterdir() if file.name.startswith(prefix)]
        return {file.name: file.read_text("utf-8").rstrip("\r\n") for file in files}
    except OSError as error:
        raise SettingsError(f"{SECRETS_DIRECTORY}: {error.strerror}: {error.filename}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{SECRETS_DIRECTORY}: {folder}: a file is not text") from None


def settings_table() -> str:
    """Returns all settings as a Markdown table."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(default)
        shown = "" if default in ("", None) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def _describe(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(location[0]).upper()}: {message}" if location else message


def _refuse_unknown_names(names: Iterable[str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in names:
        # The test suite's own variables are not settings of the service.
        if not name.startswith(PREFIX) or name in known or name.startswith("TRAINING_TEST_"):
            continue
        guess = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise SettingsError(f"{name}: there is no such setting{hint}")
