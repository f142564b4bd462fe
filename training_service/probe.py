"""Asks a service whether it is SERVING.

`python -m training_service.probe` asks this machine's own: it starts in a quarter of the time that
the command takes, which a health check every few seconds is worth.
"""

import sys

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME

from training_service.settings import Settings, SettingsError, load_settings

TIMEOUT_SECONDS = 2.0


def own_address(settings: Settings) -> str:
    """Returns where the service with these settings is to be asked, on its own machine."""
    return f"localhost:{settings.listen_address.rpartition(':')[2]}"


def is_serving(target: str, settings: Settings, *, alive: bool = False) -> bool:
    """Returns whether the service at an address reports SERVING, in time.

    With `alive`, whether its process answers, whatever the database does.
    """
    service = SERVICE_NAME if alive else ""
    with _channel(target, settings) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(target: str, settings: Settings) -> grpc.Channel:
    if settings.tls_certificate_file is None or settings.tls_private_key_file is None:
        return grpc.insecure_channel(target)
    certificate = settings.tls_certificate_file.read_bytes()
    authority = settings.tls_client_ca_file
    credentials = grpc.ssl_channel_credentials(
        root_certificates=authority.read_bytes() if authority else certificate,
        private_key=settings.tls_private_key_file.read_bytes(),
        certificate_chain=certificate,
    )
    # The certificate is for the service's name, not for localhost.
    options = [("grpc.ssl_target_name_override", _certified_name(certificate))]
    return grpc.secure_channel(target, credentials, options)


def _certified_name(certificate: bytes) -> str:
    """Returns the first DNS name that a certificate is for."""
    parsed = x509.load_pem_x509_certificate(certificate)
    names = parsed.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    assert isinstance(names, x509.SubjectAlternativeName)
    return names.get_values_for_type(x509.DNSName)[0]


def main() -> None:
    """Ends the process with 0 when the service of this machine serves, else with 1."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    sys.exit(0 if is_serving(own_address(settings), settings) else 1)


if __name__ == "__main__":
    main()
