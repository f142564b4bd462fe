"""Certificates are taken up when their files change, and only when these are good."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from structlog import BoundLogger, wrap_logger
from structlog.testing import LogCapture

from tests.certificates import Authority
from training_service import tls
from training_service.settings import Settings, SettingsError
from training_service.tls import Certificates, Files, server_credentials

NAME = "training.internal"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> Files:
    """Files that a server has begun with."""
    certificate, key = authority.issue(NAME)
    targets = [tmp_path / name for name in ("tls.crt", "tls.key", "ca.crt")]
    for source, target in zip((certificate, key, authority.file), targets, strict=True):
        shutil.copy(source, target)
    return Files(*targets)


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What is logged, whatever the level of the test process."""
    seen = LogCapture()
    monkeypatch.setattr(tls, "logger", wrap_logger(None, [seen], BoundLogger))
    return seen


def replace(file: Path, content: bytes) -> None:
    """Moves new content into a file's place, so that it is never half there."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


def issue_anew(authority: Authority, files: Files) -> None:
    certificate, key = authority.issue(NAME)
    replace(files.certificate, certificate.read_bytes())
    replace(files.key, key.read_bytes())


def test_files_that_stay_as_they_are_are_not_read_again(files: Files, logs: LogCapture) -> None:
    certificates = Certificates(files)
    for file in files:
        assert file is not None
        # What reads it now would fail.
        seen = file.stat()
        file.write_bytes(b"x" * seen.st_size)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert certificates.renewed() is None
    assert logs.entries == []


def test_a_new_pair_is_taken_once(authority: Authority, files: Files, logs: LogCapture) -> None:
    certificates = Certificates(files)
    issue_anew(authority, files)
    assert certificates.renewed() is not None
    assert certificates.renewed() is None
    assert [one["event"] for one in logs.entries] == ["certificates renewed"]


def test_a_new_authority_of_peers_is_taken(authority: Authority, files: Files) -> None:
    certificates = Certificates(files)
    assert files.authority is not None
    replace(files.authority, authority.file.read_bytes())
    assert certificates.renewed() is not None


def only_the_certificate(authority: Authority, files: Files) -> None:
    replace(files.certificate, authority.issue(NAME)[0].read_bytes())


def only_the_key(authority: Authority, files: Files) -> None:
    replace(files.key, authority.issue(NAME)[1].read_bytes())


def half_a_certificate(authority: Authority, files: Files) -> None:
    replace(files.certificate, files.certificate.read_bytes()[:300])


def an_empty_key(authority: Authority, files: Files) -> None:
    replace(files.key, b"")


def a_locked_key(authority: Authority, files: Files) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    replace(files.key, locked)


def an_authority_that_is_none(authority: Authority, files: Files) -> None:
    assert files.authority is not None
    replace(files.authority, b"nonsense")


def no_key(authority: Authority, files: Files) -> None:
    files.key.unlink()


FAULTS = {
    only_the_certificate: "PRIVATE_KEY",
    only_the_key: "PRIVATE_KEY",
    half_a_certificate: "CERTIFICATE",
    an_empty_key: "PRIVATE_KEY",
    a_locked_key: "PRIVATE_KEY",
    an_authority_that_is_none: "CLIENT_CA",
    no_key: "PRIVATE_KEY",
}


@pytest.mark.parametrize(
    ("fault", "named"), FAULTS.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_what_is_not_good_is_not_taken_and_said_once(
    fault: Callable[[Authority, Files], None],
    named: str,
    authority: Authority,
    files: Files,
    logs: LogCapture,
) -> None:
    certificates = Certificates(files)
    fault(authority, files)
    assert certificates.renewed() is None
    assert certificates.renewed() is None
    [said] = logs.entries
    assert said["log_level"] == "warning"
    assert said["why"].startswith(f"TRAINING_TLS_{named}_FILE: ")
    assert "BEGIN" not in said["why"]

    issue_anew(authority, files)
    assert files.authority is not None
    replace(files.authority, authority.file.read_bytes())
    assert certificates.renewed() is not None


@pytest.mark.parametrize(
    ("fault", "named"), FAULTS.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_a_server_does_not_begin_with_what_is_not_good(
    fault: Callable[[Authority, Files], None], named: str, authority: Authority, files: Files
) -> None:
    fault(authority, files)
    settings = Settings(
        tls_certificate_file=files.certificate,
        tls_private_key_file=files.key,
        tls_client_ca_file=files.authority,
    )
    with pytest.raises(SettingsError, match=f"^TRAINING_TLS_{named}_FILE: "):
        server_credentials(settings)


def test_without_files_connections_are_not_secured() -> None:
    assert server_credentials(Settings()) is None
