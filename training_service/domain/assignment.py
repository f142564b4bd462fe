"""What becomes of a workout that a coach gives to an athlete."""

from dataclasses import dataclass
from enum import StrEnum


class OnExisting(StrEnum):
    """What becomes of a copy that an athlete has already."""

    KEEP = "KEEP"
    KEEP_UNLESS_DELETED = "KEEP_UNLESS_DELETED"
    """For a schedule, which needs a workout that is there."""
    UPDATE_UNCHANGED = "UPDATE_UNCHANGED"
    OVERWRITE = "OVERWRITE"


KEEPING = (OnExisting.KEEP, OnExisting.KEEP_UNLESS_DELETED)
REPLACING_DELETED = (OnExisting.KEEP_UNLESS_DELETED, OnExisting.OVERWRITE)


class Outcome(StrEnum):
    """What became of a workout for one athlete."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    KEPT = "KEPT"
    KEPT_CHANGED = "KEPT_CHANGED"
    UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An athlete's copy of a coach's workout, as it stands."""

    source_revision: int
    """The revision of the coach's workout that was last given."""
    is_changed: bool
    """Whether anybody changed the copy since."""
    is_deleted: bool


def outcome(copy: Copy | None, source_revision: int, on_existing: OnExisting) -> Outcome:
    """Returns what becomes of a revision that is given to an athlete with this copy; None is
    without."""
    if copy is None:
        return Outcome.CREATED
    if copy.is_deleted:
        return Outcome.CREATED if on_existing in REPLACING_DELETED else Outcome.KEPT_CHANGED
    if copy.is_changed:
        return Outcome.UPDATED if on_existing is OnExisting.OVERWRITE else Outcome.KEPT_CHANGED
    if copy.source_revision == source_revision:
        return Outcome.UNCHANGED
    return Outcome.KEPT if on_existing in KEEPING else Outcome.UPDATED
