"""Receipts of erasure: what was removed and when, signed and without the user's id.

A receipt is a JSON Web Signature (RFC 7515) by Ed25519 (RFC 8037). Whoever has the public key can
check it; the pseudonym in it tells who has the installation's key, and knows the id, whose it is.
"""

from collections.abc import Mapping
from datetime import datetime
from hmac import digest
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from training_service.settings import Settings, SettingsError

ALGORITHM = "EdDSA"
TYPE = "training-erasure-receipt"
VERSION = 1


class Receipt(NamedTuple):
    """What was removed of a user."""

    pseudonym: str
    requested_at: datetime
    erased_at: datetime
    row_counts: Mapping[str, int]
    """By table: rows removed, or that no longer name the user."""
    archive_objects: int


class ReceiptError(Exception):
    """A receipt was not signed with this key, or was changed since."""


class Signer:
    """Signs receipts and checks them."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, receipt: Receipt) -> str:
        """Returns a receipt as a signed JWS, in its compact form."""
        payload = {
            "version": VERSION,
            "pseudonym": receipt.pseudonym,
            "requested_at": receipt.requested_at.isoformat(),
            "erased_at": receipt.erased_at.isoformat(),
            "row_counts": dict(sorted(receipt.row_counts.items())),
            "archive_objects": receipt.archive_objects,
        }
        return jwt.encode(payload, self._key, ALGORITHM, {"typ": TYPE})

    def read(self, signed: str) -> Receipt:
        """Returns what a receipt says.

        Raises ReceiptError when it is not one that was signed with this key.
        """
        try:
            decoded = jwt.decode_complete(signed, self._key.public_key(), [ALGORITHM])
        except jwt.PyJWTError as error:
            raise ReceiptError(f"not a receipt of this installation: {error}") from None
        payload = decoded["payload"]
        if decoded["header"].get("typ") != TYPE or payload.get("version") != VERSION:
            raise ReceiptError("signed with this key, but no receipt of erasure")
        return _receipt(payload)

    def public_key(self) -> str:
        """Returns the public key, in PEM, with which anybody can check receipts."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def kept(signed: str) -> Receipt:
    """Returns what a receipt says that this service kept itself: of before its key changed, too."""
    return _receipt(jwt.decode(signed, options={"verify_signature": False}))


def _receipt(payload: Mapping[str, Any]) -> Receipt:
    return Receipt(
        payload["pseudonym"],
        datetime.fromisoformat(payload["requested_at"]),
        datetime.fromisoformat(payload["erased_at"]),
        payload["row_counts"],
        payload["archive_objects"],
    )


def signer(settings: Settings, installation_key: bytes) -> Signer:
    """Returns what signs: with the key in the settings, else with one that follows from the
    installation's, so that all its processes sign alike."""
    if settings.receipt_key_file is None:
        seed = digest(installation_key, b"receipts of erasure", "sha256")
        return Signer(Ed25519PrivateKey.from_private_bytes(seed))
    return Signer(_read_key(settings.receipt_key_file))


def _read_key(file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise SettingsError(f"TRAINING_RECEIPT_KEY_FILE: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError("TRAINING_RECEIPT_KEY_FILE: not an Ed25519 key")
    return key
