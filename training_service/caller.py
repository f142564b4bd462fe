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
class Scope:
    """The one athlete whose rows a unit of work may see and write."""

    external_user_id: UUID


_current: ContextVar[Caller] = ContextVar("caller")


def set_current_caller(caller: Caller) -> None:
    """Records the caller for the rest of this RPC."""
    _current.set(caller)


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

    Somebody else's needs the SERVICE role. Without it the answer is the same as for an athlete
    who does not exist, whether or not there is one.
    """
    caller = current_caller()
    if not external_user_id:
        return Scope(caller.external_user_id)
    athlete = UUID(external_user_id)
    if athlete != caller.external_user_id and Role.SERVICE not in caller.roles:
        raise TrainingError(Reason.ATHLETE_NOT_FOUND, "there is no such athlete")
    return Scope(athlete)
