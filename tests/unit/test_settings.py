"""Settings: what is wrong is refused at the start, by the name of its variable."""

import asyncio
from pathlib import Path

import pytest

from training_service.server import TrainingServer
from training_service.settings import PREFIX, Settings, SettingsError, load_settings, settings_table


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starts from the defaults, whatever the developer has set."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def set_all(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)


def test_the_defaults_are_good() -> None:
    assert load_settings() == Settings()


CALLS = ("reads", "writes", "streams", "charts")
WRONG = {
    "database_url": ["localhost", "mysql://localhost/training", "postgresql:/training"],
    "replica_urls": ["localhost", "postgresql://a mysql://b", "postgresql://a,b c"],
    "replica_wait_ms": ["-1", "60001", "x", "1.5", ""],
    "replica_max_lag_seconds": ["2.9", "3601", "x", ""],
    "migration_database_url": ["training", "sqlite:///training.db"],
    "database_role": ["two words", "Upper", "1st", 'x"; DROP TABLE x', "a;b", "a\n"],
    "database_reader_role": ["", "two words", "Upper", "1st", 'x"; DROP TABLE x'],
    "database_grantee_role": ["", "two words", "Upper", "1st", 'x"; DROP TABLE x'],
    "database_coach_role": ["", "two words"],
    "archive_url": ["archive", "/srv/archive", "file://host/a", "s3://", "s3://[x", "ftp://x"],
    "archive_after_days": ["-1", "36501", "x", ""],
    "database_eraser_role": ["", "two words"],
    "pool_min_size": ["0", "201", "-1", "two", "", "1.5"],
    "pool_max_size": ["0", "201", "x"],
    "pool_timeout_seconds": ["0", "-1", "61", "soon", "inf", "nan"],
    "statement_timeout_seconds": ["0", "3601", "x", "inf", "nan"],
    "listen_address": ["", "localhost", "50051", ":50051", "localhost:", "localhost:http", "x:1y"],
    "health_address": ["localhost", "50051", ":50051", "localhost:http", "x:65536"],
    "workers": ["0", "65", "many", ""],
    "grace_seconds": ["-1", "301", "x", "nan"],
    "drain_delay_seconds": ["-0.1", "301", "x", "nan"],
    "default_deadline_seconds": ["0", "3601", "x", "nan"],
    "stream_deadline_seconds": ["0", "86401", "x", "nan"],
    "form_deadline_seconds": ["0", "86401", "x", "nan"],
    "form_idle_seconds": ["0", "3601", "x", "nan"],
    "health_interval_seconds": ["0", "61", "x", "nan"],
    "max_receive_bytes": ["65535", str(256 * 1024 * 1024 + 1), "8MB", "x"],
    "prepare_statements": ["x"],
    "max_concurrent_streams": ["0", "100001", "x"],
    "max_calls_in_flight": ["0", "100001", "x"],
    "max_form_streams": ["0", "100001", "x"],
    "max_calls_waiting": ["0", "100001", "x"],
    "rate_limit_store": ["", "redis", "Process"],
    **{f"rate_{kind}_per_second": ["-1", "1000001", "x", "inf", "nan"] for kind in CALLS},
    **{f"rate_{kind}_burst": ["0", "1000001", "1.5", "x"] for kind in CALLS},
    "rate_service_factor": ["0", "10001", "x", "nan"],
    "max_streams_per_caller": ["-1", "100001", "x"],
    "quota_workouts": ["-1", "1000001", "x"],
    "quota_phases": ["-1", "1000001", "x"],
    "quota_sessions_a_day": ["-1", "1000001", "x"],
    "abuse_threshold": ["-1", "1000001", "x"],
    "reflection": ["maybe", "2", ""],
    "authentication": ["", "none", "JWT", "mtls"],
    "trust_any_peer": ["maybe", ""],
    "jwt_leeway_seconds": ["-1", "301", "x", "nan"],
    "log_level": ["", "info", "TRACE"],
    "access_log": ["", "stderr"],
    "metrics_address": ["9464", ":9464", "localhost", "localhost:", "localhost:65536", "x:1y"],
    "otlp_endpoint": [
        "collector:4317",
        "ftp://collector",
        "http://",
        "http://a",
        "http://a:4318/v1/traces",
        "http://a b",
    ],
    "trace_ratio": ["-0.1", "1.1", "x", "nan"],
    "log_format": ["", "xml"],
}
ANY_TEXT = {
    "secrets_directory",
    "data_directory",
    "model_directory",
    "receipt_key_file",
    "tls_certificate_file",
    "tls_private_key_file",
    "tls_client_ca_file",
    "jwt_jwks",
    "jwt_issuer",
    "jwt_audience",
    "jwt_algorithms",
}
"""Settings that take any text on their own; what they need of one another is tested below."""


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, **{name: value})
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{PREFIX}{name.upper()}: ")


def test_no_setting_is_left_out_of_the_wrong_ones() -> None:
    assert set(WRONG) | ANY_TEXT == set(Settings.model_fields)


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, workers="0", log_format="xml")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    lines = str(raised.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["TRAINING_WORKERS", "TRAINING_LOG_FORMAT"]


def test_a_refusal_does_not_repeat_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever is put into the wrong variable by mistake may be a secret.
    set_all(monkeypatch, workers="hunter2", authentication="hunter2")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("TRAINING_WORKER", "TRAINING_WORKERS"),
        ("TRAINING_DATABASE_URI", "TRAINING_DATABASE_URL"),
        ("TRAINING_LISTEN_ADRESS", "TRAINING_LISTEN_ADDRESS"),
        ("TRAINING_JWKS", "TRAINING_JWT_JWKS"),
    ],
)
def test_an_unknown_name_is_refused_with_the_one_that_may_be_meant(
    given: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(given, "1")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert str(raised.value) == f"{given}: there is no such setting; did you mean {meant}?"


def test_an_unknown_name_that_resembles_none_is_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAINING_ZZZZZZZZZZZZ", "1")
    with pytest.raises(SettingsError, match=r"^TRAINING_ZZZZZZZZZZZZ: there is no such setting$"):
        load_settings()


@pytest.mark.parametrize("name", ["TRAINING_TEST_DATABASE_URL", "TRAININGS", "X_TRAINING_WORKERS"])
def test_names_that_are_no_settings_are_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()


def test_values_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, workers="3", reflection="false", grace_seconds="0.5", data_directory="/d")
    settings = load_settings()
    assert (settings.workers, settings.reflection, settings.grace_seconds) == (3, False, 0.5)
    assert settings.data_directory == Path("/d")


def test_the_command_line_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, workers="3", log_level="ERROR")
    settings = load_settings(workers=2, log_level=None)
    assert (settings.workers, settings.log_level) == (2, "ERROR")


def test_a_wrong_value_on_the_command_line_is_named_like_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^TRAINING_WORKERS: "):
        load_settings(workers=0)


@pytest.mark.parametrize(
    ("text", "algorithms"),
    [
        ("RS256", ("RS256",)),
        ("RS256,ES256", ("RS256", "ES256")),
        (" ES256 ,, PS256,", ("ES256", "PS256")),
    ],
)
def test_a_list_is_separated_by_commas(
    text: str, algorithms: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, jwt_algorithms=text)
    assert load_settings().jwt_algorithms == algorithms


def test_urls_of_replicas_are_separated_by_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    # A comma may stand in a URL, between hosts.
    set_all(monkeypatch, replica_urls=" postgresql://a,b/x  postgres://c/x\n")
    assert load_settings().replica_urls == ("postgresql://a,b/x", "postgres://c/x")


# Values in files.


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, empty so far."""
    monkeypatch.setenv("TRAINING_SECRETS_DIRECTORY", str(tmp_path))
    return tmp_path


def test_values_are_read_from_files_without_their_last_newline(secrets: Path) -> None:
    (secrets / "TRAINING_DATABASE_URL").write_text("postgresql://ada:hunter2@host/training\n")
    (secrets / "TRAINING_WORKERS").write_text("3")
    (secrets / "TRAINING_JWT_ALGORITHMS").write_text("ES256,PS256\r\n")
    (secrets / "TRAINING_REFLECTION").write_text("false\n")
    settings = load_settings()
    assert settings.database_url == "postgresql://ada:hunter2@host/training"
    assert (settings.workers, settings.reflection) == (3, False)
    assert settings.jwt_algorithms == ("ES256", "PS256")


def test_files_are_followed_as_kubernetes_links_them(secrets: Path) -> None:
    (secrets / "..version").mkdir()
    (secrets / "..version" / "TRAINING_WORKERS").write_text("3")
    (secrets / "..data").symlink_to("..version")
    (secrets / "TRAINING_WORKERS").symlink_to("..data/TRAINING_WORKERS")
    assert load_settings().workers == 3


def test_a_variable_is_stronger_than_a_file_and_the_command_line_than_both(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORKERS", "LOG_LEVEL", "POOL_MAX_SIZE"):
        (secrets / f"TRAINING_{name}").write_text({"LOG_LEVEL": "ERROR"}.get(name, "3"))
    set_all(monkeypatch, workers="4", log_level="DEBUG")
    settings = load_settings(workers=5)
    assert (settings.workers, settings.log_level, settings.pool_max_size) == (5, "DEBUG", 3)


def test_other_files_are_left_alone(secrets: Path) -> None:
    for name in ("tls.key", "AWS_SECRET_ACCESS_KEY", "training_workers"):
        (secrets / name).write_bytes(b"\xff")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("TRAINING_DATABASE_URI", b"x", "; did you mean TRAINING_DATABASE_URL?"),
        ("TRAINING_DATABASE_URL", b"hunter2", "TRAINING_DATABASE_URL: "),
        ("TRAINING_DATABASE_URL", b"postgresql://\xff", "TRAINING_SECRETS_DIRECTORY: "),
        ("TRAINING_SECRETS_DIRECTORY", b"/", "TRAINING_SECRETS_DIRECTORY: "),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_name_and_not_repeated(
    name: str, content: bytes, said: str, secrets: Path
) -> None:
    (secrets / name).write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_folder_of_secrets_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_SECRETS_DIRECTORY", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"^TRAINING_SECRETS_DIRECTORY: No such file"):
        load_settings()


def test_a_secret_that_is_a_folder_is_refused(secrets: Path) -> None:
    (secrets / "TRAINING_DATABASE_URL").mkdir()
    with pytest.raises(SettingsError, match=r"^TRAINING_SECRETS_DIRECTORY: Is a directory"):
        load_settings()


def test_secrets_do_not_show_where_settings_do() -> None:
    url = "postgresql://ada:hunter2@host/training"
    settings = Settings(database_url=url, migration_database_url=url, replica_urls=(url,))
    assert "hunter2" not in repr(settings) + str(settings)
    assert "hunter2" not in settings_table()


def test_settings_do_not_change_once_read() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 2  # type: ignore[misc]


# What settings need of one another.

JWT = {
    "authentication": "jwt",
    "jwt_jwks": "/keys.json",
    "jwt_issuer": "https://issuer",
    "jwt_audience": "training",
}
TLS = {"tls_certificate_file": "/cert.pem", "tls_private_key_file": "/key.pem"}
MTLS = {**TLS, "tls_client_ca_file": "/ca.pem"}
REACHABLE = {"listen_address": "0.0.0.0:50051"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"pool_min_size": "11"}, ["POOL_MIN_SIZE", "POOL_MAX_SIZE"]),
        ({"tls_certificate_file": "/c"}, ["TLS_CERTIFICATE_FILE", "TLS_PRIVATE_KEY_FILE"]),
        ({"tls_private_key_file": "/k"}, ["TLS_CERTIFICATE_FILE", "TLS_PRIVATE_KEY_FILE"]),
        ({"tls_client_ca_file": "/ca"}, ["TLS_CLIENT_CA_FILE", "TLS_CERTIFICATE_FILE"]),
        (
            {"authentication": "jwt"},
            ["AUTHENTICATION", "JWT_JWKS", "JWT_ISSUER", "JWT_AUDIENCE"],
        ),
        ({**JWT, "jwt_jwks": ""}, ["AUTHENTICATION", "JWT_JWKS"]),
        ({**JWT, "jwt_issuer": ""}, ["AUTHENTICATION", "JWT_ISSUER"]),
        ({**JWT, "jwt_audience": ""}, ["AUTHENTICATION", "JWT_AUDIENCE"]),
        ({**JWT, "jwt_algorithms": "RS256,none"}, ["JWT_ALGORITHMS"]),
        ({**JWT, "jwt_algorithms": "None"}, ["JWT_ALGORITHMS"]),
        ({**JWT, "jwt_algorithms": "HS256"}, ["JWT_ALGORITHMS"]),
        ({**JWT, "jwt_algorithms": "ES256,HS512"}, ["JWT_ALGORITHMS"]),
        ({**JWT, "jwt_algorithms": " , "}, ["JWT_ALGORITHMS"]),
        ({**JWT, "jwt_algorithms": "RS265"}, ["JWT_ALGORITHMS"]),
        (REACHABLE, ["AUTHENTICATION", "LISTEN_ADDRESS", "TLS_CLIENT_CA_FILE", "TRUST_ANY_PEER"]),
        (
            {"listen_address": "[::]:50051"},
            ["AUTHENTICATION", "LISTEN_ADDRESS", "TLS_CLIENT_CA_FILE", "TRUST_ANY_PEER"],
        ),
        (
            {**REACHABLE, **TLS},
            ["AUTHENTICATION", "LISTEN_ADDRESS", "TLS_CLIENT_CA_FILE", "TRUST_ANY_PEER"],
        ),
        (
            {"listen_address": "127.example.com:50051"},
            ["AUTHENTICATION", "LISTEN_ADDRESS", "TLS_CLIENT_CA_FILE", "TRUST_ANY_PEER"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "-".join(value.values()),
)
def test_settings_that_contradict_one_another_are_refused_by_their_names(
    values: dict[str, str], named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, **values)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    words = str(raised.value).replace(",", " ").replace("=", " ").split()
    assert {w for w in words if w.startswith(PREFIX)} == {PREFIX + name for name in named}


@pytest.mark.parametrize(
    "values",
    [
        JWT,
        {**JWT, **REACHABLE},
        {**JWT, **REACHABLE, **TLS},
        {**JWT, "jwt_algorithms": "EdDSA,PS512,ES384"},
        {**REACHABLE, **MTLS},
        {**REACHABLE, "trust_any_peer": "true"},
        {"listen_address": "localhost:50051"},
        {"listen_address": "127.0.0.2:1"},
        {"listen_address": "[::1]:50051"},
        TLS,
        MTLS,
        {"pool_min_size": "10"},
        {"database_role": ""},
    ],
    ids=lambda values: "-".join(values.values()),
)
def test_settings_that_fit_together_are_taken(
    values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_all(monkeypatch, **values)
    settings = load_settings()
    changed = {n for n, f in Settings.model_fields.items() if getattr(settings, n) != f.default}
    assert changed == set(values)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param("nonsense", id="no PEM"),
    ],
)
def test_files_that_hold_no_certificate_are_refused_by_the_names_of_their_variables(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "file.pem"
    if content:
        file.write_text(content)
    settings = Settings(
        listen_address="127.0.0.1:0", tls_certificate_file=file, tls_private_key_file=file
    )

    async def start() -> None:
        server = TrainingServer(settings, "postgresql://nobody@127.0.0.1:1/nothing")
        try:
            await server.start()
        finally:
            await server.stop()

    with pytest.raises(SettingsError, match=r"TRAINING_TLS_(CERTIFICATE|PRIVATE_KEY)_FILE"):
        asyncio.run(start())


def test_every_setting_has_a_line_in_the_table() -> None:
    lines = settings_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [
        PREFIX + name.upper() for name in Settings.model_fields
    ]
    assert all(line.rstrip(" |").rpartition("|")[2].strip().endswith(".") for line in lines)
