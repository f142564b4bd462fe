"""The reasons a call can be refused for, as the inner layers raise them.

Each reason stands in `protos/calisthenics/training/v1/error.proto` with its meaning and its gRPC
status; `interceptors/errors.py` is the one place that turns them into an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum, auto


class Reason(StrEnum):
    """Names of `ErrorReason` in the contract."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    UNAUTHENTICATED = auto()
    PERMISSION_DENIED = auto()
    INVALID_FIELD = auto()
    MALFORMED_REQUEST = auto()
    INVALID_PAGE_TOKEN = auto()
    INVALID_UPDATE_MASK = auto()
    REQUEST_ID_REUSED = auto()
    ETAG_MISMATCH = auto()
    CONFLICT = auto()
    REQUEST_TOO_LARGE = auto()
    ATHLETE_NOT_FOUND = auto()
    EXERCISE_NOT_FOUND = auto()
    EXERCISE_ALREADY_EXISTS = auto()
    EXERCISE_IN_USE = auto()
    EXERCISE_DEPRECATED = auto()
    PROGRESSION_CYCLE = auto()
    PROGRESSION_DIFFICULTY_DROP = auto()
    UNKNOWN_EXERCISE = auto()
    WORKOUT_NOT_FOUND = auto()
    WORKOUT_REVISION_NOT_FOUND = auto()
    WORKOUT_DELETED = auto()
    WORKOUT_NOT_DELETED = auto()
    UNKNOWN_WORKOUT = auto()
    SESSION_NOT_FOUND = auto()
    SESSION_NOT_CURRENT = auto()
    BATCH_REFUSED = auto()
    PHASE_NOT_FOUND = auto()
    UNKNOWN_PHASE = auto()
    PHASE_OVERLAP = auto()
    PHASE_CYCLE = auto()
    PHASE_OUTSIDE_PARENT = auto()
    PHASE_KIND_ORDER = auto()
    PHASE_HAS_SESSIONS = auto()
    PHASE_HAS_CHILDREN = auto()
    SCHEDULE_NOT_FOUND = auto()
    SCHEDULE_HAS_CHANGES = auto()
    PROGRESSION_RULE_NOT_FOUND = auto()
    PROGRESSION_RULE_ALREADY_EXISTS = auto()
    PROGRAM_NOT_FOUND = auto()
    GRANT_NOT_FOUND = auto()
    GROUP_NOT_FOUND = auto()
    MEMBER_NOT_FOUND = auto()
    LAST_COACH = auto()
    ALREADY_INVITED = auto()
    GROUP_FULL = auto()
    INVITATION_NOT_FOUND = auto()
    INVITATION_NOT_OPEN = auto()
    UNKNOWN_GROUP = auto()
    DEADLINE_EXCEEDED = auto()
    DATABASE_UNAVAILABLE = auto()
    KEYS_UNAVAILABLE = auto()
    OVERLOADED = auto()
    INTERNAL = auto()
    GOAL_NOT_FOUND = auto()
    GOAL_ABANDONED = auto()
    GOAL_ACHIEVED = auto()
    FORM_STREAM_IDLE = auto()
    RATE_LIMITED = auto()
    TOO_MANY_STREAMS = auto()
    QUOTA_EXCEEDED = auto()
    ARCHIVE_UNAVAILABLE = auto()
    ATHLETE_ERASED = auto()
    SIMILARITY_UNAVAILABLE = auto()


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    """Path in proto naming from the request message, such as `session.exercises[0].sets[2].rpe`."""
    description: str


@dataclass(frozen=True, slots=True)
class Limit:
    """What somebody has reached."""

    subject: str
    """Whose it is: "caller" or "athlete"."""
    name: str
    """Such as `reads` or `sessions_a_day`."""
    value: float
    """How many there may be: calls at once, streams, or what is stored."""


class TrainingError(Exception):
    """A refusal that the caller is meant to understand."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        limit: Limit | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit


def invalid_field(field: str, description: str) -> TrainingError:
    """Returns the refusal of a request for one bad field."""
    return bad_reference(Reason.INVALID_FIELD, field, description)


def bad_reference(reason: Reason, field: str, description: str) -> TrainingError:
    """Returns a refusal, for the given reason, that points at one field."""
    return TrainingError(
        reason, f"{field}: {description}", violations=[FieldViolation(field, description)]
    )


def athlete_erased() -> TrainingError:
    """Returns the refusal of what would read of an erased user, or bring them back."""
    return TrainingError(Reason.ATHLETE_ERASED, "this user was erased")


@contextmanager
def unless_erased() -> Iterator[None]:
    """Passes over an athlete who is erased while a job is at work on many."""
    try:
        yield
    except TrainingError as error:
        if error.reason is not Reason.ATHLETE_ERASED:
            raise


def database_unavailable() -> TrainingError:
    """Returns the refusal for a database that does not answer."""
    return TrainingError(
        Reason.DATABASE_UNAVAILABLE,
        "the database is not available; try again",
        retry_after_seconds=1.0,
    )
