"""TLS with certificates on both sides, taken up anew while a server serves, and the probe that a
container's health check runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from calisthenics.training.v1 import exercise_pb2, exercise_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME

from tests.certificates import Authority
from tests.support import ServiceProcess, eventually, free_port, service_process

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
    with connection(address, authority, *certificate) as channel:
        return read_over(channel)


@contextmanager
def connection(address: str, authority: Authority, *certificate: Path) -> Iterator[grpc.Channel]:
    """Yields a connection of its own, to a service that the authority has certified."""
    chain, key = certificate or (None, None)
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(),
        key.read_bytes() if key else None,
        chain.read_bytes() if chain else None,
    )
    options = [("grpc.ssl_target_name_override", NAME), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        yield channel


def read_over(channel: grpc.Channel) -> str:
    stub = exercise_pb2_grpc.ExerciseServiceStub(channel)
    request = exercise_pb2.GetExerciseRequest(exercise="pull-up")
    return stub.GetExercise(request, timeout=10).slug


def is_refused(address: str, authority: Authority, *certificate: Path) -> bool:
    try:
        read_catalogue(address, authority, *certificate)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


def probe(service: ServiceProcess, settings: dict[str, str], *options: str) -> int:
    return ask(service, settings, "training_service", "probe", *options)


def ask(service: ServiceProcess, settings: dict[str, str], *module: str) -> int:
    environment = {**os.environ, **settings, "TRAINING_LISTEN_ADDRESS": service.address}
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode


def test_peers_must_show_a_certificate_of_the_authority(
    database_url: str, authority: Authority, tmp_path: Path
) -> None:
    settings = tls_settings(authority)
    with service_process(database_url, **settings) as service:
        peer = authority.issue("gateway.internal")
        assert read_catalogue(service.address, authority, *peer) == "pull-up"
        assert probe(service, settings) == 0
        assert ask(service, settings, "training_service.probe") == 0

        (tmp_path / "other").mkdir()
        stranger = Authority(tmp_path / "other").issue("gateway.internal")
        for certificate in ((), stranger):
            assert is_refused(service.address, authority, *certificate)


class MountedSecret:
    """A folder as Kubernetes mounts a secret: names link to ..data, which links to a version."""

    FILES = ("tls.crt", "tls.key", "ca.crt")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = 0
        folder.mkdir()
        for name in self.FILES:
            (folder / name).symlink_to(f"..data/{name}")

    @property
    def settings(self) -> dict[str, str]:
        names = ("TLS_CERTIFICATE_FILE", "TLS_PRIVATE_KEY_FILE", "TLS_CLIENT_CA_FILE")
        paths = [str(self._folder / name) for name in self.FILES]
        return dict(zip([f"TRAINING_{name}" for name in names], paths, strict=True))

    def put(self, *contents: bytes) -> None:
        """Puts all files in place at once, as the kubelet does."""
        self._versions += 1
        version = self._folder / f"..version-{self._versions}"
        version.mkdir()
        for name, content in zip(self.FILES, contents, strict=True):
            (version / name).write_bytes(content)
        link = self._folder / "..data_new"
        link.symlink_to(version.name)
        link.replace(self._folder / "..data")


class Ring:
    """An authority with what it has issued to the service and to a peer."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = Authority(folder)
        self.service = self.authority.issue(NAME)
        self.peer = self.authority.issue("gateway.internal")

    def contents(self, ca: "Ring | None" = None) -> tuple[bytes, bytes, bytes]:
        """Returns certificate, key, and the authority of peers: its own unless said."""
        certificate, key = self.service
        authority = (ca or self).authority
        return certificate.read_bytes(), key.read_bytes(), authority.file.read_bytes()


@pytest.fixture
def old(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> Ring:
    return Ring(tmp_path / "new")


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "mounted")


@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_of_another_authority_are_taken_up_without_a_restart(
    database_url: str, secret: MountedSecret, old: Ring, new: Ring, workers: int
) -> None:
    secret.put(*old.contents())
    options = ("--workers", str(workers))
    with (
        service_process(database_url, *options, **secret.settings) as service,
        connection(service.address, old.authority, *old.peer) as kept,
    ):
        assert read_over(kept) == "pull-up"
        secret.put(*new.contents())
        # More connections than workers, so that each of them has one.
        for _ in range(workers * 4):
            assert read_catalogue(service.address, new.authority, *new.peer) == "pull-up"
        assert is_refused(service.address, old.authority, *old.peer)
        assert is_refused(service.address, new.authority, *old.peer)
        assert read_over(kept) == "pull-up"
        assert probe(service, secret.settings) == 0


def test_a_new_authority_of_peers_alone_is_taken_up(
    database_url: str, secret: MountedSecret, old: Ring, new: Ring
) -> None:
    secret.put(*old.contents())
    with service_process(database_url, **secret.settings) as service:
        assert is_refused(service.address, old.authority, *new.peer)
        secret.put(*old.contents(ca=new))
        assert read_catalogue(service.address, old.authority, *new.peer) == "pull-up"
        assert is_refused(service.address, old.authority, *old.peer)


def test_files_that_are_broken_leave_the_old_ones_in_use(
    database_url: str, secret: MountedSecret, old: Ring, new: Ring
) -> None:
    secret.put(*old.contents())
    certificate, key, authority = old.contents()
    broken = [
        (new.contents()[0], key, authority),  # not of this key
        (certificate[:200], key, authority),
        (certificate, b"", authority),
        (certificate, key, b"nonsense"),
    ]
    with service_process(database_url, **secret.settings) as service:
        for contents in broken:
            secret.put(*contents)
            assert read_catalogue(service.address, old.authority, *old.peer) == "pull-up"
            assert is_refused(service.address, old.authority, *new.peer)
        secret.put(*new.contents())
        assert read_catalogue(service.address, new.authority, *new.peer) == "pull-up"


def test_the_probe_says_whether_a_service_serves(database_url: str) -> None:
    with service_process(database_url) as service:
        assert probe(service, {}) == 0
    service.port = free_port()
    service.address = f"127.0.0.1:{service.port}"
    assert probe(service, {}) == 1
    assert probe(service, {}, "--alive") == 1
    assert ask(service, {}, "training_service.probe") == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_health_alone_is_served_to_an_orchestrator_without_a_certificate(
    database_url: str, authority: Authority, workers: int
) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = {**tls_settings(authority), "TRAINING_HEALTH_ADDRESS": address}
    with service_process(database_url, "--workers", str(workers), **settings) as service:
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            for name in ("", "calisthenics.training.v1.SessionService", SERVICE_NAME):
                answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError) as caught:
                read_over(channel)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        with grpc.insecure_channel(service.address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_process_that_waits_for_its_database_is_alive_and_does_not_serve(
    make_database: Callable[[], str],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    service = ServiceProcess(make_database(), TRAINING_HEALTH_ADDRESS=address)
    try:
        eventually(lambda: probe(service, {}, "--alive") == 0)
        assert probe(service, {}, "--alive", "--target", address) == 0
        assert probe(service, {}) == 1
        assert probe(service, {}, "--target", address) == 1
    finally:
        service.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_of_health_that_is_taken_is_named(database_url: str, workers: str) -> None:
    with service_process(database_url) as other:
        service = ServiceProcess(
            database_url, "--workers", workers, TRAINING_HEALTH_ADDRESS=other.address
        )
        _, said = service.process.communicate(timeout=30)
    assert service.process.returncode == 2
    assert f"TRAINING_HEALTH_ADDRESS: can't listen on {other.address}" in said
