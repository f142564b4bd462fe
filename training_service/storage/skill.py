"""What an athlete did of exercises, against the criteria of the progression graph.

Read from `exercise_metrics` each time: criteria can be changed, and what is amended or voided takes
back what it had passed. Rows of an older version, which lack the sets, count once they are rebuilt.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    SmallInteger,
    Subquery,
    Uuid,
    bindparam,
    case,
    cast,
    column,
    false,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by, array, distinct_on
from sqlalchemy.types import TypeEngine

from training_service.caller import Scope
from training_service.domain.exercise import Criterion
from training_service.domain.metrics import MOST_UNAIDED_SETS
from training_service.domain.skill import Practice
from training_service.storage.reads import Reads
from training_service.storage.statements import Statement, own, prepare
from training_service.storage.tables import exercise_metrics

_FIELDS: dict[str, TypeEngine[Any]] = {
    "exercise_id": Uuid(),
    "set_count": SmallInteger(),
    "amount": Double(),
    "session_count": SmallInteger(),
}
_CRITERIA = (
    func.unnest(*(bindparam(f"{name}s", type_=ARRAY(kind)) for name, kind in _FIELDS.items()))
    .table_valued(*(column(name, kind) for name, kind in _FIELDS.items()))
    .render_derived(name="criteria")
)
_ZERO: ColumnElement[Any] = literal_column("0")


def _sessions(is_asked_for: ColumnElement[bool], *athlete: ColumnElement[Any]) -> Subquery:
    """Returns the sessions in which exercises were done, with the sets that count.

    An exercise that a session lists twice counts by that entry of it which came nearer. Of many
    athletes, the sessions are told apart by `athlete`.
    """
    of = exercise_metrics.c
    session = (*athlete, of.exercise_id, of.local_date, of.session_id)
    is_met = of.unaided_sets[_CRITERIA.c.set_count] >= _CRITERIA.c.amount
    return (
        select(
            *session,
            _CRITERIA.c.session_count,
            of.unaided_sets[literal_column("1") : _CRITERIA.c.set_count].label("sets"),
            _met_amount().label("met_amount"),
            func.coalesce(is_met, false()).label("is_met"),
        )
        .join(_CRITERIA, _CRITERIA.c.exercise_id == of.exercise_id)
        .where(is_asked_for, of.set_count > _ZERO, of.unaided_sets.is_not(None))
        .ext(distinct_on(*session))
        .order_by(*session, _met_amount().desc())
        .subquery("sessions")
    )


def _met_amount() -> ColumnElement[Any]:
    """Returns the sum of the sets that a criterion asks for, of each no more than it asks.

    Ten summands take two thirds of the time that unnesting takes.
    """
    return reduce(add, map(_met_amount_of_set, range(1, MOST_UNAIDED_SETS + 1)))


def _met_amount_of_set(number: int) -> ColumnElement[Any]:
    n: ColumnElement[Any] = literal_column(str(number))
    done = func.coalesce(exercise_metrics.c.unaided_sets[n], _ZERO)
    return case((_CRITERIA.c.set_count >= n, func.least(done, _CRITERIA.c.amount)), else_=_ZERO)


def _runs(is_asked_for: ColumnElement[bool], *athlete: ColumnElement[Any]) -> Subquery:
    """Returns the same sessions, numbered for each exercise, with how many up to each had all sets
    of the criterion, one after the other (`run`)."""

    def so_far(of: Any) -> dict[str, Any]:
        whose = [of[column.name] for column in athlete]
        return {
            "partition_by": (*whose, of.exercise_id),
            "order_by": (of.local_date, of.session_id),
        }

    of = _sessions(is_asked_for, *athlete).c
    numbered = select(*of, func.row_number().over(**so_far(of)).label("number"))
    of = numbered.subquery("numbered").c
    last_miss = func.max(of.number).filter(~of.is_met)
    run = of.number - func.coalesce(last_miss.over(**so_far(of)), _ZERO)
    return select(*of, run.label("run")).subquery("runs")


def passed_dates(is_asked_for: ColumnElement[bool]) -> Subquery:
    """Returns when the exercises of `practice_parameters` were first passed by athletes; no date is
    of those that were not."""
    of = _runs(is_asked_for, exercise_metrics.c.external_user_id).c
    return (
        select(of.external_user_id, of.exercise_id, _passed_date(of).label("passed_date"))
        .group_by(of.external_user_id, of.exercise_id)
        .subquery("passed_dates")
    )


def _passed_date(of: Any) -> ColumnElement[Any]:
    return func.min(of.local_date).filter(of.run >= of.session_count)


def _practices() -> Statement[Practice]:
    of = _runs(own(exercise_metrics)).c
    return prepare(
        select(
            of.exercise_id,
            func.count(),
            func.max(of.local_date),
            _passed_date(of),
            func.count() - func.coalesce(func.max(of.number).filter(~of.is_met), _ZERO),
            _sets_of_greatest(of.met_amount, of.sets),
            _sets_of_greatest(of.number, of.sets),
            _first_passing(of),
        ).group_by(of.exercise_id),
        Practice,
    )


def _sets_of_greatest(measure: ColumnElement[Any], sets: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns the sets of the session in which something was greatest; of several, those of which
    the first is greatest. Arrays are compared element by element."""
    greatest = func.max(func.array_cat(array([cast(measure, Double)]), sets), type_=ARRAY(Double))
    return greatest[literal_column("2") : literal_column(str(MOST_UNAIDED_SETS + 1))]


def _first_passing(of: Any) -> ColumnElement[Any]:
    """Returns the session in which the criterion was first met."""
    in_order = aggregate_order_by(of.session_id, of.local_date, of.session_id)
    passing = func.array_agg(in_order, type_=ARRAY(Uuid)).filter(of.run >= of.session_count)
    return type_coerce(passing, ARRAY(Uuid))[literal_column("1")]


PRACTICES = _practices()
"""What was done of the exercises of `practice_parameters`."""


def practice_parameters(criteria: Mapping[UUID, Criterion]) -> dict[str, Any]:
    """Returns the parameters of PRACTICES: exercises with their criteria."""
    return {
        "exercise_ids": list(criteria),
        "set_counts": [one.set_count for one in criteria.values()],
        "amounts": [float(one.amount) for one in criteria.values()],
        "session_counts": [one.session_count for one in criteria.values()],
    }


class SkillRepository:
    """Reads what one athlete at a time did of exercises."""

    def __init__(self, database: Reads) -> None:
        self._database = database

    async def practices(
        self, scope: Scope, criteria: Mapping[UUID, Criterion]
    ) -> dict[UUID, Practice]:
        """Returns what was done of the exercises, against their criteria; those that were never
        done are left out."""
        rows = await self._database.read(scope, PRACTICES, practice_parameters(criteria))
        return {row.exercise_id: row for row in rows}
