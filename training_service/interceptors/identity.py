"""Who calls: from metadata that a trusted peer has verified, or from a token verified here."""

import asyncio
import time
import urllib.request
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import jwt
import structlog

from training_service.caller import Caller, Role, set_current_caller
from training_service.contract import AccessLevel
from training_service.errors import Reason, TrainingError
from training_service.interceptors.call import Call
from training_service.settings import Settings

logger = structlog.get_logger(__name__)

USER_KEY = "x-external-user-id"
SCOPE_KEY = "x-caller-scope"
SCOPE_PREFIX = "training:"
"""What a role is called in a scope, of a token or in the metadata: "training:admin"."""

KEYS_MAX_AGE_SECONDS = 300.0
KEYS_MIN_AGE_SECONDS = 10.0
"""Tokens with an unknown key id make the keys be read again, but not more often than this."""
KEYS_TIMEOUT_SECONDS = 5.0


class Authenticator(Protocol):
    """Finds out who calls."""

    async def authenticate(self, call: Call) -> Caller | None:
        """Returns the caller, None when nothing says who it is.

        Raises UNAUTHENTICATED when what says so is not acceptable.
        """


async def establish_caller(call: Call, authenticator: Authenticator) -> None:
    """Records the caller for the servicer, after checking that the RPC is open to them."""
    call.caller = caller = await authenticator.authenticate(call)
    access = call.method.access
    if caller is None:
        if access != AccessLevel.ACCESS_LEVEL_PUBLIC_CATALOGUE:
            raise _unauthenticated("the call does not say who makes it")
        return
    if access == AccessLevel.ACCESS_LEVEL_ADMIN and Role.ADMIN not in caller.roles:
        raise TrainingError(Reason.PERMISSION_DENIED, "this call is for administrators")
    if access == AccessLevel.ACCESS_LEVEL_SERVICE and Role.SERVICE not in caller.roles:
        raise TrainingError(Reason.PERMISSION_DENIED, "this call is for services")
    set_current_caller(caller)


def make_authenticator(settings: Settings) -> Authenticator:
    """Returns the authenticator that the settings ask for."""
    if settings.authentication == "jwt":
        return JwtAuthenticator(settings)
    return MetadataAuthenticator()


def _unauthenticated(message: str) -> TrainingError:
    return TrainingError(Reason.UNAUTHENTICATED, message)


def _external_user_id(call: Call) -> UUID | None:
    """Returns the athlete id in the metadata, None if there is none."""
    values = call.metadata(USER_KEY)
    if not values:
        return None
    if len(values) > 1:
        raise _unauthenticated(f"{USER_KEY} is given more than once")
    return _canonical_uuid(values[0], USER_KEY)


def _canonical_uuid(value: object, name: str) -> UUID:
    """Returns a UUID in its usual 36 characters; other spellings could slip past a gateway."""
    try:
        found = UUID(str(value))
    except ValueError:
        raise _unauthenticated(f"{name} is not a UUID") from None
    if str(found) != str(value).lower():
        raise _unauthenticated(f"{name} is not a UUID")
    return found


def _roles(scopes: list[str]) -> frozenset[Role]:
    """Returns the roles in scopes, each a list of words (RFC 6749); other words grant nothing."""
    words = {word for scope in scopes for word in scope.split(" ")}
    return frozenset(role for role in Role if SCOPE_PREFIX + role.value in words)


class MetadataAuthenticator:
    """Believes the peer: a gateway or sibling that verified the token, itself known by mTLS."""

    async def authenticate(self, call: Call) -> Caller | None:
        """See Authenticator."""
        user = _external_user_id(call)
        if user is None:
            return None
        return Caller(user, _roles(call.metadata(SCOPE_KEY)))


class JwtAuthenticator:
    """Verifies the bearer token: signature, algorithm, issuer, audience, expiry; claim `userId`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = KeySet(settings.jwt_jwks)

    async def authenticate(self, call: Call) -> Caller | None:
        """See Authenticator."""
        named = _external_user_id(call)
        headers = call.metadata("authorization")
        if not headers and named is None:
            return None
        if len(headers) != 1:
            raise _unauthenticated("exactly one authorization is needed")
        scheme, _, token = headers[0].partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthenticated("the authorization must be a bearer token")
        claims = await self._verify(token.strip())
        user = _canonical_uuid(claims["userId"], "claim userId")
        if named is not None and named != user:
            raise _unauthenticated(f"{USER_KEY} is not the user of the token")
        return Caller(user, _roles([str(claims.get("scope", ""))]))

    async def _verify(self, token: str) -> dict[str, Any]:
        try:
            key = await self._keys.find(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.jwt_algorithms),
                issuer=self._settings.jwt_issuer,
                audience=self._settings.jwt_audience,
                leeway=self._settings.jwt_leeway_seconds,
                options={"require": ["exp", "iss", "aud", "userId"]},
            )
        except jwt.PyJWTError as error:
            logger.info("token refused", why=type(error).__name__)
            raise _unauthenticated("the token was not accepted") from None
        return claims


class KeySet:
    """The issuer's public keys, from a file or URL, read again from time to time."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = -KEYS_MAX_AGE_SECONDS
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> jwt.PyJWK:
        """Returns the key with this id.

        Raises InvalidTokenError when there is none, KEYS_UNAVAILABLE when no keys were ever read.
        """
        is_known = key_id in self._keys
        oldest_seconds = KEYS_MAX_AGE_SECONDS if is_known else KEYS_MIN_AGE_SECONDS
        if time.monotonic() - self._read_at > oldest_seconds:
            if self._reading is None:
                # A task of its own: a caller who gives up must not end the reading for all.
                self._reading = asyncio.create_task(self._refresh())
                await asyncio.shield(self._reading)
            elif not is_known:
                await asyncio.shield(self._reading)
        if not self._keys:
            raise TrainingError(
                Reason.KEYS_UNAVAILABLE,
                "the keys that tokens are verified with can't be read",
                retry_after_seconds=KEYS_MIN_AGE_SECONDS,
            )
        if key_id not in self._keys:
            raise jwt.InvalidTokenError("unknown key")
        return self._keys[key_id]

    async def _refresh(self) -> None:
        try:
            keys = jwt.PyJWKSet.from_json(await asyncio.to_thread(read_key_set, self._location))
            self._keys = {key.key_id: key for key in keys.keys}
        except Exception as error:
            # Whatever an issuer in trouble answers: the keys read before stay good.
            logger.warning("keys not read", location=self._location, why=repr(error)[:200])
        self._read_at = time.monotonic()
        self._reading = None


def read_key_set(location: str) -> str:
    """Returns a JSON Web Key Set from a path or URL. Raises OSError."""
    if "://" not in location:
        return Path(location).read_text()
    if not location.startswith(("https://", "http://")):
        raise OSError("keys are read from a file, http or https")
    with urllib.request.urlopen(location, timeout=KEYS_TIMEOUT_SECONDS) as response:  # noqa: S310
        text: str = response.read().decode()
        return text
