"""How much an athlete has, against how much they may have.

A transaction that adds something counts at its end, in its last round trip: a statement that fails
when there is too much, and the transaction with it. Two that add at the same moment don't see each
other, so that the last of a quota may be given twice.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import errors
from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)

from training_service.domain.quota import Quota, day_end, first_id
from training_service.errors import Limit, Reason, TrainingError
from training_service.settings import Settings
from training_service.storage.statements import Statement, own, parameter, prepare, prepare_command
from training_service.storage.tables import sessions, training_phases, workouts

_MOST = bindparam("most", type_=Integer)
_COUNTED: Mapping[Quota, tuple[ColumnElement[bool], ...]] = {
    Quota.WORKOUTS: (own(workouts), workouts.c.deleted_at.is_(None)),
    Quota.PHASES: (own(training_phases),),
    # In the order of the primary key, so that only the rows of the day are looked at.
    Quota.SESSIONS_A_DAY: (own(sessions), sessions.c.id >= parameter("first_id", sessions.c.id)),
}
_WORDS = {
    Quota.WORKOUTS: "workouts that are not deleted",
    Quota.PHASES: "phases",
    Quota.SESSIONS_A_DAY: "sessions logged on a day in UTC",
}


def _some(quota: Quota) -> Any:
    """Returns what is counted, of which no more than one too many."""
    return select(literal_column("1")).where(*_COUNTED[quota]).limit(_MOST + 1).subquery()


def _check(quota: Quota) -> Statement[None]:
    """Returns a statement that fails with the name of the quota when there is too much."""
    name = literal_column(f"'{quota.value} '", Text)
    count = func.count()
    # No constant, that PostgreSQL would evaluate beforehand.
    failure = cast(func.concat(name, count), Integer)
    return prepare_command(
        select(case((count > _MOST, failure), else_=literal_column("0"))).select_from(_some(quota))
    )


_CHECKS = {quota: _check(quota) for quota in Quota}
SESSIONS_OF_DAY = prepare(
    select(func.count()).select_from(_some(Quota.SESSIONS_A_DAY)),
    lambda count: count,
)
"""How many sessions were logged since `first_id`, counted up to one more than `most`."""


class Quotas:
    """What the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._limits = {
            Quota.WORKOUTS: settings.quota_workouts,
            Quota.PHASES: settings.quota_phases,
            Quota.SESSIONS_A_DAY: settings.quota_sessions_a_day,
        }

    def limit(self, quota: Quota) -> int | None:
        """Returns how much there may be, None for any."""
        return self._limits[quota] or None

    def check(self, quota: Quota, now: datetime) -> tuple[Statement[None], Mapping[str, Any]]:
        """Returns the statement that fails when there is more than there may be."""
        return _CHECKS[quota], self.parameters(quota, now)

    def parameters(self, quota: Quota, now: datetime) -> Mapping[str, Any]:
        """Returns what a statement that counts needs."""
        return {"most": self._limits[quota], "first_id": first_id(now)}

    def refusal(self, error: errors.InvalidTextRepresentation, now: datetime) -> Exception:
        """Returns what the failure of such a statement means; the error itself for another's."""
        # PostgreSQL's words may be in any language; what it could not read is among them.
        message = error.diag.message_primary or ""
        quota = next((one for one in Quota if f'"{one.value} ' in message), None)
        return self.exceeded(quota, now) if quota else error

    def exceeded(self, quota: Quota, now: datetime) -> TrainingError:
        """Returns the refusal of more than there may be."""
        most = self._limits[quota]
        metadata = {"quota": quota.value, "limit": str(most)}
        retry = None
        if quota is Quota.SESSIONS_A_DAY:
            resets_at = day_end(now)
            metadata["resets_at"] = resets_at.isoformat().replace("+00:00", "Z")
            retry = (resets_at - now).total_seconds()
        return TrainingError(
            Reason.QUOTA_EXCEEDED,
            f"an athlete may have {most} {_WORDS[quota]}",
            metadata=metadata,
            retry_after_seconds=retry,
            limit=Limit("athlete", quota.value, most),
        )
