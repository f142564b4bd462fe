"""A token issuer for development: signs what a platform's Auth Service would.

Its private key lies in a folder beside the development database. Nothing in production trusts it.
"""

import json
import os
import time
from pathlib import Path
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from training_service.settings import Settings

ISSUER = "https://auth.training.localhost"
AUDIENCE = "training"
ALGORITHM = "ES256"
KEY_ID = "development"


class DevelopmentIssuer:
    """Signs tokens with a key of its own, made on first use, and publishes the public one."""

    def __init__(self, folder: Path) -> None:
        self.jwks_file = folder / "jwks.json"
        """The JSON Web Key Set to verify its tokens with."""
        folder.mkdir(parents=True, exist_ok=True)
        key_file = folder / "private-key.pem"
        if not key_file.exists():
            _write_secret(key_file, _new_key())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        jwk = {**public, "kid": KEY_ID, "use": "sig", "alg": ALGORITHM}
        self.jwks_file.write_text(json.dumps({"keys": [jwk]}))

    def token(self, user: UUID, scope: str, lifetime_seconds: int) -> str:
        """Returns a signed token for a user; `scope` is words such as "training:admin"."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + lifetime_seconds,
            "sub": str(user),
            "userId": str(user),
            **({"scope": scope} if scope else {}),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": KEY_ID})


def development_issuer(settings: Settings) -> DevelopmentIssuer:
    """Returns the issuer whose keys lie beside the development database."""
    return DevelopmentIssuer(settings.data_directory / "issuer")


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_secret(file: Path, content: bytes) -> None:
    """Writes a file that only its owner may read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
