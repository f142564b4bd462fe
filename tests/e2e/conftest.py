"""Fixtures: the service behind a real Envoy, and callers with tokens of a real issuer."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploy.envoy.gateway import DOCS, Envoy, Gateway, running_envoy
from tests.e2e.rest import RestClient
from tests.packages import install
from tests.support import RunningService, free_port
from training_service.issuer import DevelopmentIssuer

UNLIMITED = 1_000_000
StartGateway = Callable[..., AbstractContextManager[Envoy]]


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> DevelopmentIssuer:
    """Who issues the tokens that gateways accept."""
    # Where `training-service dev-token` looks, given the folder above it as data directory.
    return DevelopmentIssuer(tmp_path_factory.mktemp("data") / "issuer")


@pytest.fixture(scope="session")
def start_gateway(
    issuer: DevelopmentIssuer, tmp_path_factory: pytest.TempPathFactory
) -> StartGateway:
    """Runs an Envoy in front of services, on free ports; calls are unlimited unless said."""

    def start(
        services: list[str], *, output: Any = subprocess.DEVNULL, wait: bool = True, **options: Any
    ) -> AbstractContextManager[Envoy]:
        usual: dict[str, Any] = {
            "listen": f"127.0.0.1:{free_port()}",
            "admin_port": free_port(),
            "jwks_file": issuer.jwks_file,
            "user_calls_per_second": UNLIMITED,
            "user_burst": UNLIMITED,
            "health_interval_seconds": 0.2,
            "docs": False,
        }
        gateway = Gateway(services=services, **{**usual, **options})
        return running_envoy(
            gateway, tmp_path_factory.mktemp("gateway"), output, needs_service=wait
        )

    return start


@pytest.fixture(scope="session")
def access_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the gateway under test writes what passed it."""
    return tmp_path_factory.mktemp("log") / "access.log"


@pytest.fixture(scope="session")
def envoy(
    start_gateway: StartGateway, service: RunningService, access_log: Path
) -> Iterator[Envoy]:
    """The gateway under test, in front of the service under test."""
    install(DOCS)
    with (
        access_log.open("wb") as output,
        start_gateway([service.address], output=output, docs=True) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def new_client(envoy: Envoy, issuer: DevelopmentIssuer) -> Callable[..., RestClient]:
    """Makes callers with a token of their own."""

    def make(scope: str = "", address: str = "", user: str = "") -> RestClient:
        client = RestClient(address or envoy.address, user=user)
        token = issuer.token(UUID(client.user), scope, 3600)
        return RestClient(address or envoy.address, token, client.user)

    return make


@pytest.fixture
def ada(new_client: Callable[..., RestClient]) -> RestClient:
    """An athlete with an app."""
    return new_client()


@pytest.fixture
def ben(new_client: Callable[..., RestClient]) -> RestClient:
    """Another athlete with an app."""
    return new_client()


@pytest.fixture
def stranger(envoy: Envoy) -> RestClient:
    """A caller without a token."""
    return RestClient(envoy.address)
