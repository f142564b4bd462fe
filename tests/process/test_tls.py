"""TLS with certificates on both sides, and the probe that a container's health check runs."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from calisthenics.training.v1 import exercise_pb2, exercise_pb2_grpc

from tests.certificates import Authority
from tests.support import ServiceProcess, free_port, service_process

NAME = "training.internal"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_settings(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue(NAME)
    return {
        "TRAINING_TLS_CERTIFICATE_FILE": str(certificate),
        "TRAINING_TLS_PRIVATE_KEY_FILE": str(key),
        "TRAINING_TLS_CLIENT_CA_FILE": str(authority.file),
    }


def read_catalogue(address: str, authority: Authority, *certificate: Path) -> str:
    """Reads an exercise over TLS, showing a certificate if one is given."""
    chain, key = certificate or (None, None)
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(),
        key.read_bytes() if key else None,
        chain.read_bytes() if chain else None,
    )
    options = [("grpc.ssl_target_name_override", NAME)]
    with grpc.secure_channel(address, credentials, options) as channel:
        stub = exercise_pb2_grpc.ExerciseServiceStub(channel)
        request = exercise_pb2.GetExerciseRequest(exercise="pull-up")
        return stub.GetExercise(request, timeout=10).slug


def probe(service: ServiceProcess, settings: dict[str, str]) -> int:
    environment = {**os.environ, **settings, "TRAINING_LISTEN_ADDRESS": service.address}
    command = [sys.executable, "-m", "training_service", "probe"]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def test_peers_must_show_a_certificate_of_the_authority(
    database_url: str, authority: Authority, tmp_path: Path
) -> None:
    settings = tls_settings(authority)
    with service_process(database_url, **settings) as service:
        peer = authority.issue("gateway.internal")
        assert read_catalogue(service.address, authority, *peer) == "pull-up"
        assert probe(service, settings) == 0

        (tmp_path / "other").mkdir()
        stranger = Authority(tmp_path / "other").issue("gateway.internal")
        for certificate in ((), stranger):
            with pytest.raises(grpc.RpcError) as caught:
                read_catalogue(service.address, authority, *certificate)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_probe_says_whether_a_service_serves(database_url: str) -> None:
    with service_process(database_url) as service:
        assert probe(service, {}) == 0
    service.port = free_port()
    service.address = f"127.0.0.1:{service.port}"
    assert probe(service, {}) == 1
