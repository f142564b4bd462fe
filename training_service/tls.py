"""The server's TLS: certificates read from files, and taken up anew when these change."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from training_service.settings import PREFIX, Settings, SettingsError

logger = structlog.get_logger(__name__)

Version = tuple[tuple[int, int, int], ...]
"""Which version of the files it is: inode, time of change in ns and size of each in bytes."""


NAMES = ("TLS_CERTIFICATE_FILE", "TLS_PRIVATE_KEY_FILE", "TLS_CLIENT_CA_FILE")


class Files(NamedTuple):
    """Where the PEM files are; without an authority no peer is asked for a certificate."""

    certificate: Path
    key: Path
    authority: Path | None

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Returns the files of the settings, None when TLS is off."""
        if settings.tls_certificate_file is None or settings.tls_private_key_file is None:
            return None
        return cls(
            settings.tls_certificate_file,
            settings.tls_private_key_file,
            settings.tls_client_ca_file,
        )

    def version(self) -> Version:
        """Returns what changes with the files. Follows links, which is how Kubernetes swaps them.

        Raises SettingsError when one is missing.
        """
        return tuple(
            _identity(name, file)
            for name, file in zip(NAMES, self, strict=True)
            if file is not None
        )


def _identity(name: str, file: Path) -> tuple[int, int, int]:
    try:
        seen = file.stat()
    except OSError as error:
        raise SettingsError(f"{PREFIX}{name}: {error}") from None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Returns how connections are secured, None when they are not.

    Files that change are taken up by the next connection. Raises SettingsError, naming the setting,
    for files that don't hold what they should.
    """
    files = Files.of(settings)
    if files is None:
        return None
    certificates = Certificates(files)
    return grpc.dynamic_ssl_server_credentials(
        certificates.first,
        certificates.renewed,  # type: ignore[arg-type] # None is for no change
        files.authority is not None,
    )


class Certificates:
    """What gRPC asks before each handshake, one at a time and on a thread of its own."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._version = files.version()
        self._refused: Version | None = None
        self.first = _read(files)

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns the certificates if the files have changed and are good, else None.

        Of files that are half written, or do not belong together yet, nothing is taken: whoever
        connects meanwhile is served with what was good.
        """
        version: Version = ()
        try:
            # Looked at before it is read: what changes in between is noticed the next time.
            version = self._files.version()
            if version == self._version:
                return None
            configuration = _read(self._files)
        except SettingsError as error:
            self._warn(version, str(error))
            return None
        self._version, self._refused = version, None
        logger.info("certificates renewed")
        return configuration

    def _warn(self, version: Version, why: str) -> None:
        # Once for each state of the files, not for each connection.
        if version != self._refused:
            logger.warning("certificates not renewed, the earlier ones stay", why=why)
        self._refused = version


def _read(files: Files) -> grpc.ServerCertificateConfiguration:
    certificate = _read_pem(NAMES[0], files.certificate, _check_chain)
    key = _read_pem(NAMES[1], files.key, _check_key)
    if _public_key(key) != x509.load_pem_x509_certificate(certificate).public_key():
        raise SettingsError(f"{PREFIX}{NAMES[1]}: it is not the key of the certificate")
    authority = None
    if files.authority is not None:
        authority = _read_pem(NAMES[2], files.authority, _check_chain)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], authority)


def _read_pem(name: str, file: Path, check: Callable[[bytes], object]) -> bytes:
    """Returns what is in a file of the settings; refuses one that does not hold what it should."""
    try:
        content = file.read_bytes()
        check(content)
    # TypeError: a key that asks for a password.
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{PREFIX}{name}: {error}") from None
    return content


def _check_chain(content: bytes) -> None:
    for one in x509.load_pem_x509_certificates(content):
        one.public_key()


def _check_key(content: bytes) -> None:
    _public_key(content)


def _public_key(content: bytes) -> object:
    return serialization.load_pem_private_key(content, password=None).public_key()
