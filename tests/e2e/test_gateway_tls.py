"""The gateway speaks mTLS to the service."""

from collections.abc import Callable
from pathlib import Path

from deploy.envoy.gateway import UpstreamTls
from tests.certificates import Authority
from tests.e2e.conftest import StartGateway
from tests.e2e.rest import RestClient
from tests.support import service_process

NAME = "training.internal"


def upstream(authority: Authority, certificate: Path, key: Path, name: str = NAME) -> UpstreamTls:
    return UpstreamTls(
        authority_file=authority.file,
        certificate_file=certificate,
        private_key_file=key,
        server_name=name,
    )


def test_gateway_and_service_know_each_other_by_certificates(
    database_url: str,
    start_gateway: StartGateway,
    new_client: Callable[..., RestClient],
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue(NAME)
    settings = {
        "TRAINING_TLS_CERTIFICATE_FILE": str(certificate),
        "TRAINING_TLS_PRIVATE_KEY_FILE": str(key),
        "TRAINING_TLS_CLIENT_CA_FILE": str(authority.file),
    }
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    own = authority.issue("gateway.internal")
    with service_process(database_url, **settings) as service:
        with start_gateway([service.address], tls=upstream(authority, *own)) as envoy:
            client = new_client(address=envoy.address)
            assert client.get(client.sessions).status == 200
        for tls in (
            None,  # without TLS
            upstream(authority, *other.issue("gateway.internal")),  # a stranger's certificate
            upstream(other, *own),  # a service certified by strangers
            upstream(authority, *own, name="billing.internal"),  # not the service meant
        ):
            with start_gateway([service.address], tls=tls, wait=False) as envoy:
                client = new_client(address=envoy.address)
                answer = client.get(client.sessions)
                assert (answer.status, answer.reason) == (503, "gateway SERVICE_UNAVAILABLE")
