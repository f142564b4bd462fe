"""Who calls, and whose data is meant."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from training_service.errors import Reason, TrainingError


class Role(StrEnum):
    """What a caller may do beyond their own data."""

    ADMIN = "admin"
    """May write the exercise catalogue."""
    SERVICE = "service"
    """A sibling service: may act for any athlete."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller of one RPC."""

    external_user_id: UUID
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True, slots=True)
class Grantee:
    """Somebody whom an athlete granted something."""

    user_id: UUID
    grant_scope: str
    """What the call needs, by its name in GrantScope."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The one athlete whose rows a unit of work may see and write."""

    external_user_id: UUID
    grantee: Grantee | None = None
    """Who acts by a grant; None for the athlete and services. The database looks at it again."""

    @property
    def author_user_id(self) -> UUID | None:
        """Who is named as the author of what is written: None for the athlete and services."""
        return self.grantee.user_id if self.grantee else None


_current: ContextVar[Caller] = ContextVar("caller")
_granted: ContextVar[Scope | None] = ContextVar("granted", default=None)
_call_id: ContextVar[str] = ContextVar("call_id")


def set_current_caller(caller: Caller) -> None:
    """Records the caller for the rest of this RPC."""
    _current.set(caller)


def set_call_id(call_id: str) -> None:
    """Records what finds this RPC in the logs."""
    _call_id.set(call_id)


def current_call_id() -> str:
    """Returns what finds the RPC under way in the logs."""
    return _call_id.get()


def set_granted_scope(scope: Scope | None) -> None:
    """Records what the caller was granted for the rest of this RPC."""
    _granted.set(scope)


def needs_grant(external_user_id: str) -> bool:
    """Returns whether the data of the athlete that a request names is somebody else's, and the
    caller no service."""
    caller = current_caller()
    is_other = bool(external_user_id) and UUID(external_user_id) != caller.external_user_id
    return is_other and Role.SERVICE not in caller.roles


def current_caller() -> Caller:
    """Returns the caller of the RPC under way.

    Raises LookupError where no identity was established: an RPC that reaches this without one
    declares the wrong access level.
    """
    return _current.get()


def is_administrator() -> bool:
    """Returns whether the caller, if it is known who calls, may write the catalogue."""
    caller = _current.get(None)
    return caller is not None and Role.ADMIN in caller.roles


def athlete_scope(external_user_id: str) -> Scope:
    """Returns the scope for the athlete a request names; empty is the caller's own.

    Somebody else's needs the SERVICE role, or a grant that was found before. Without it the answer
    is the same as for an athlete who does not exist, whether or not there is one.
    """
    if not external_user_id:
        return Scope(current_caller().external_user_id)
    athlete = UUID(external_user_id)
    if not needs_grant(external_user_id):
        return Scope(athlete)
    granted = _granted.get()
    if granted is None or granted.external_user_id != athlete:
        raise athlete_not_found()
    return granted


def athlete_not_found() -> TrainingError:
    """Returns the refusal of an athlete who does not exist, or granted nothing: both are alike."""
    return TrainingError(Reason.ATHLETE_NOT_FOUND, "there is no such athlete")
