"""Training phases: macro-, meso- and microcycles as a tree of half-open ranges of local dates.

The rules here look at the phases near a change, which storage reads while it keeps other writers
waiting.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from training_service.errors import (
    FieldViolation,
    Reason,
    TrainingError,
    bad_reference,
    invalid_field,
)

DAYS_PER_WEEK = 7
MAX_DAYS = 731
"""Longest phase: two years, one of them a leap year."""
FIRST_DATE = date(1970, 1, 1)
LAST_END_DATE = date(2200, 1, 1)
MAX_MOVED = 1_000
"""Most phases that one call moves: some fifteen years of them."""
MAX_NAMED = 10
"""Most phases in the way that a refusal names: its details travel as metadata."""


class PhaseKind(StrEnum):
    """How long a phase is meant to be, the largest first."""

    MACROCYCLE = "MACROCYCLE"
    MESOCYCLE = "MESOCYCLE"
    MICROCYCLE = "MICROCYCLE"

    def is_smaller_than(self, other: "PhaseKind") -> bool:
        """Returns whether a phase of this kind may be within one of the other."""
        kinds = list(PhaseKind)
        return kinds.index(self) > kinds.index(other)


class DateRange(NamedTuple):
    """Days from one on, up to another that is not among them."""

    start_date: date
    end_date: date

    def overlaps(self, other: "DateRange") -> bool:
        """Returns whether a day is in both."""
        return self.start_date < other.end_date and other.start_date < self.end_date

    def holds(self, other: "DateRange") -> bool:
        """Returns whether all days of the other are in this one."""
        return self.start_date <= other.start_date and other.end_date <= self.end_date

    def without(self, other: "DateRange") -> list["DateRange"]:
        """Returns the days that are not in the other, as ranges."""
        before = DateRange(self.start_date, min(self.end_date, other.start_date))
        after = DateRange(max(self.start_date, other.end_date), self.end_date)
        parts = dict.fromkeys((before, after))
        return [part for part in parts if part.start_date < part.end_date]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A training phase. Factors are those of its weeks, 1 is as usual; weeks count from 1."""

    id: UUID
    parent_id: UUID | None
    kind: PhaseKind
    start_date: date
    end_date: date
    """The day after the last."""
    display_name: str
    focus: str
    volume_factors: tuple[float, ...] = ()
    intensity_factors: tuple[float, ...] = ()
    deload_weeks: tuple[int, ...] = ()
    day_emphases: tuple[str, ...] = ()
    description: str = ""
    version: int = 1
    created_at: datetime
    updated_at: datetime
    author_user_id: UUID | None = None
    """Who wrote this version under a grant; None for the athlete and services."""

    @property
    def dates(self) -> DateRange:
        """Its days."""
        return DateRange(self.start_date, self.end_date)

    @property
    def week_count(self) -> int:
        """How many weeks it has; the last may be shorter."""
        return week_of(self.end_date - timedelta(days=1), self.start_date)

    @property
    def place(self) -> tuple[date, PhaseKind, UUID]:
        """Sorts phases by their first day, each before those within it."""
        return self.start_date, self.kind, self.id


def week_of(day: date, start_date: date) -> int:
    """Returns which week of a phase a day is in, from 1: floor((day - start) / 7) + 1."""
    return (day - start_date).days // DAYS_PER_WEEK + 1


def check_alone(phase: Phase, prefix: str) -> None:
    """Refuses a phase whose own numbers don't fit together. `prefix` leads to its fields."""
    days = (phase.end_date - phase.start_date).days
    if phase.start_date < FIRST_DATE:
        raise invalid_field(f"{prefix}start_date", f"must not be before {FIRST_DATE}")
    if phase.end_date > LAST_END_DATE:
        raise invalid_field(f"{prefix}end_date", f"must not be after {LAST_END_DATE}")
    if not 1 <= days <= MAX_DAYS:
        raise invalid_field(
            f"{prefix}end_date", f"must be 1 to {MAX_DAYS} days after the first day"
        )
    for name in ("volume_factors", "intensity_factors"):
        if len(getattr(phase, name)) > phase.week_count:
            raise invalid_field(f"{prefix}{name}", _beyond(phase))
    if any(week > phase.week_count for week in phase.deload_weeks):
        raise invalid_field(f"{prefix}deload_weeks", _beyond(phase))


def _beyond(phase: Phase) -> str:
    return f"must not go beyond the weeks of the phase, which has {phase.week_count}"


class Neighbours:
    """The phases of an athlete that a change may touch: all in the range of dates before and after
    it, and so all within those; and the parent that is meant."""

    def __init__(self, phases: Iterable[Phase]) -> None:
        self._by_id = {phase.id: phase for phase in phases}
        self._children: dict[UUID | None, list[Phase]] = defaultdict(list)
        for phase in self._by_id.values():
            self._children[phase.parent_id].append(phase)

    def get(self, phase_id: UUID) -> Phase | None:
        """Returns a phase."""
        return self._by_id.get(phase_id)

    def children(self, parent_id: UUID | None) -> list[Phase]:
        """Returns the phases right within one; those at the top without one."""
        return self._children.get(parent_id, [])

    def with_descendants(self, phase: Phase) -> list[Phase]:
        """Returns a phase and all within it, each before those within it."""
        found = [phase]
        for one in found:
            found += self.children(one.id)
        return found

    def check(self, phase: Phase) -> None:
        """Refuses a phase, new or changed, that does not fit among these."""
        self._check_parent(phase)
        for child in self.children(phase.id):
            _check_order(child, phase)
            _check_within(child, phase, _culprit(child, phase))
        self.check_free([phase], "phase.start_date")

    def _check_parent(self, phase: Phase) -> None:
        if phase.parent_id is None:
            return
        path = "phase.parent_id"
        if phase.parent_id in {one.id for one in self.with_descendants(phase)}:
            raise bad_reference(Reason.PHASE_CYCLE, path, "a phase can't be within itself")
        parent = self.get(phase.parent_id)
        if parent is None:
            raise bad_reference(Reason.UNKNOWN_PHASE, path, "there is no such phase")
        _check_order(phase, parent)
        _check_within(phase, parent, _culprit(phase, parent))

    def check_free(self, changed: Sequence[Phase], path: str) -> None:
        """Refuses phases that would overlap others under the same parent."""
        ids = {phase.id for phase in changed}
        in_the_way = [
            other
            for phase in changed
            for other in self.children(phase.parent_id)
            if other.id not in ids and other.dates.overlaps(phase.dates)
        ]
        if in_the_way:
            raise overlap(in_the_way, path)

    def moved(self, phase: Phase, start_date: date, *, shift_later: bool) -> list[Phase]:
        """Returns a phase, and with `shift_later` the later ones under its parent, with all within
        them, as they are after a move; refuses one that does not fit."""
        by = start_date - phase.start_date
        moving = [phase]
        if shift_later:
            siblings = self.children(phase.parent_id)
            moving += [one for one in siblings if one.start_date > phase.start_date]
        family = [one for top in moving for one in self.with_descendants(top)]
        if len(family) > MAX_MOVED:
            raise invalid_field("start_date", f"would move more than {MAX_MOVED} phases")
        tops = [_shifted(one, by) for one in moving]
        parent = self.get(phase.parent_id) if phase.parent_id else None
        for top in tops:
            if parent:
                _check_within(top, parent, "start_date")
        self.check_free(tops, "start_date")
        return [_shifted(one, by) for one in family]


def copies(family: Sequence[Phase], new_id: Callable[[], UUID], now: datetime) -> list[Phase]:
    """Returns a phase, which comes first, and those within it as new ones; the first at the top."""
    ids = {phase.id: new_id() for phase in family}
    return [
        replace(
            phase,
            id=ids[phase.id],
            parent_id=ids.get(phase.parent_id) if phase.parent_id else None,
            version=1,
            created_at=now,
            updated_at=now,
        )
        for phase in family
    ]


def _shifted(phase: Phase, by: timedelta) -> Phase:
    try:
        start_date, end_date = phase.start_date + by, phase.end_date + by
    except OverflowError:
        start_date = end_date = date.max
    if start_date < FIRST_DATE or end_date > LAST_END_DATE:
        raise invalid_field("start_date", f"would move a phase beyond {FIRST_DATE}/{LAST_END_DATE}")
    return replace(phase, start_date=start_date, end_date=end_date)


def _check_order(phase: Phase, parent: Phase) -> None:
    if not phase.kind.is_smaller_than(parent.kind):
        raise bad_reference(
            Reason.PHASE_KIND_ORDER,
            "phase.kind",
            f"a {phase.kind.lower()} can't be within a {parent.kind.lower()}",
        )


def _culprit(phase: Phase, parent: Phase) -> str:
    """Returns the field that makes a phase go beyond its parent, whichever of them was changed."""
    return "phase.start_date" if phase.start_date < parent.start_date else "phase.end_date"


def _check_within(phase: Phase, parent: Phase, path: str) -> None:
    """Refuses a phase with a day that its parent has not."""
    if not parent.dates.holds(phase.dates):
        raise TrainingError(
            Reason.PHASE_OUTSIDE_PARENT,
            f"{path}: {_interval(phase.dates)} is not within {_interval(parent.dates)}",
            violations=[FieldViolation(path, "a phase must be within its parent")],
            metadata={"phase_id": str(phase.id), "parent_id": str(parent.id)},
        )


def overlap(in_the_way: Sequence[Phase] = (), path: str = "") -> TrainingError:
    """Returns the refusal of a phase that would overlap others, as far as they are known; `path` is
    the field that says so."""
    description = "another phase has some of these days"
    named = in_the_way[:MAX_NAMED]
    metadata = {
        "phase_ids": ",".join(str(phase.id) for phase in named),
        "date_ranges": ",".join(_interval(phase.dates) for phase in named),
    }
    return TrainingError(
        Reason.PHASE_OVERLAP,
        f"{path}: {description}" if path else description,
        violations=[FieldViolation(path, description)] if path else (),
        metadata=metadata if named else None,
    )


def _interval(dates: DateRange) -> str:
    """Returns a range as ISO 8601 writes it."""
    return f"{dates.start_date}/{dates.end_date}"


class LostDays(NamedTuple):
    """Days that a phase has no more."""

    phase_id: UUID
    dates: DateRange


def lost_days(before: Neighbours, changed: Iterable[Phase]) -> list[LostDays]:
    """Returns the days that changed phases have no more."""
    return [
        LostDays(phase.id, dates)
        for phase in changed
        if (old := before.get(phase.id))
        for dates in old.dates.without(phase.dates)
    ]


def in_order_of_writing(before: Neighbours, changed: Sequence[Phase]) -> list[Phase]:
    """Returns phases that move by as many days in an order in which, written one by one, they never
    overlap one another: the foremost in the direction of the move first."""
    if not changed:
        return []
    old = before.get(changed[0].id)
    is_later = old is not None and changed[0].start_date > old.start_date
    return sorted(changed, key=lambda phase: phase.start_date, reverse=is_later)


class DayPlan(NamedTuple):
    """What phases ask of a day. None is not known."""

    local_date: date
    phases: tuple[Phase, ...]
    """Those the day is in, each before those within it."""

    @property
    def volume_factor(self) -> float | None:
        """Volume of the week: that of the innermost phase that has one."""
        return self._innermost(lambda phase: phase.volume_factors)

    @property
    def intensity_factor(self) -> float | None:
        """Intensity of the week, likewise."""
        return self._innermost(lambda phase: phase.intensity_factors)

    @property
    def is_deload(self) -> bool:
        """Whether any of the phases has a deload this week."""
        return any(
            week_of(self.local_date, phase.start_date) in phase.deload_weeks
            for phase in self.phases
        )

    def _innermost(self, factors_of: Callable[[Phase], tuple[float, ...]]) -> float | None:
        for phase in reversed(self.phases):
            factors = factors_of(phase)
            week = week_of(self.local_date, phase.start_date)
            if week <= len(factors):
                return factors[week - 1]
        return None


def day_plans(phases: Iterable[Phase], dates: DateRange) -> list[DayPlan]:
    """Returns each day of a range with the phases that it is in."""
    count = (dates.end_date - dates.start_date).days
    chains: list[list[Phase]] = [[] for _ in range(count)]
    for phase in sorted(phases, key=lambda phase: phase.kind):
        first = max((phase.start_date - dates.start_date).days, 0)
        end = (phase.end_date - dates.start_date).days
        for chain in chains[first : max(end, 0)]:
            chain.append(phase)
    return [
        DayPlan(dates.start_date + timedelta(days=n), tuple(chain))
        for n, chain in enumerate(chains)
    ]


def day_plan(phases: Iterable[Phase], day: date) -> DayPlan:
    """Returns a day with the phases that it is in."""
    chain = [phase for phase in phases if phase.start_date <= day < phase.end_date]
    return DayPlan(day, tuple(sorted(chain, key=lambda phase: phase.kind)))
