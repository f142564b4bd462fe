"""Groups: what their members may, and how invitations end."""

from datetime import datetime, timedelta
from enum import StrEnum

from training_service.errors import Reason, TrainingError, invalid_field

MAX_PLACES = 500
"""Most members and open invitations of a group."""
INVITATION_DAYS = 14
"""How long an invitation is open unless it says otherwise."""
MAX_INVITATION_DAYS = 90


class Role(StrEnum):
    """What somebody is in a group."""

    COACH = "COACH"
    ASSISTANT = "ASSISTANT"
    ATHLETE = "ATHLETE"


STAFF = frozenset({Role.COACH, Role.ASSISTANT})


class InvitationState(StrEnum):
    """What became of an invitation."""

    OPEN = "OPEN"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"


def check_is_coach(role: str) -> None:
    """Refuses those who are no coach of a group."""
    if role != Role.COACH:
        raise TrainingError(Reason.PERMISSION_DENIED, "only coaches of the group may do this")


def check_is_staff(role: str) -> None:
    """Refuses those who are neither coach nor assistant of a group."""
    if role not in STAFF:
        raise TrainingError(
            Reason.PERMISSION_DENIED, "only coaches and assistants of the group may do this"
        )


def check_keeps_coach(role: str, coach_count: int) -> None:
    """Refuses that the last coach of a group, whose role this is, stops being one."""
    if role == Role.COACH and coach_count == 1:
        raise TrainingError(Reason.LAST_COACH, "the group would be without a coach")


def check_new_role(current: str, new: str) -> None:
    """Refuses a change to or from being an athlete: that takes an invitation."""
    if current not in STAFF or new not in STAFF:
        raise invalid_field("member.role", "only a coach and an assistant can change places")


def invitation_end(given: datetime | None, now: datetime) -> datetime:
    """Returns until when an invitation is open; refuses an end that is past or too far ahead."""
    if given is None:
        return now + timedelta(days=INVITATION_DAYS)
    if not now < given <= now + timedelta(days=MAX_INVITATION_DAYS):
        raise invalid_field(
            "invitation.expire_time", f"must be in the next {MAX_INVITATION_DAYS} days"
        )
    return given


def check_place(taken: int, *, has_place: bool) -> None:
    """Refuses to invite somebody who has a place already, or into a group that is full."""
    if has_place:
        raise TrainingError(Reason.ALREADY_INVITED, "the user is in the group, or invited into it")
    if taken >= MAX_PLACES:
        raise TrainingError(
            Reason.GROUP_FULL,
            f"the group has {MAX_PLACES} members and open invitations",
            metadata={"limit": str(MAX_PLACES)},
        )


def check_is_open(state: InvitationState) -> None:
    """Refuses to answer or withdraw an invitation that is open no more."""
    if state is not InvitationState.OPEN:
        raise TrainingError(Reason.INVITATION_NOT_OPEN, f"the invitation is {state.lower()}")
