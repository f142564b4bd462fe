"""Which workout is planned for which day, and what became of it.

A plan is a week or a rotation of slots that repeats; a rotation need not fit a week: "A, rest, B,
rest". What was done is told by the log: a session of the workout. A missed session is let go, or
carried over to the next day on which nothing else is due.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from training_service.domain.periods import ONE_DAY


class MissedPolicy(StrEnum):
    """What becomes of a session that was not done on its day."""

    LET_GO = "LET_GO"
    CARRY_OVER = "CARRY_OVER"
    """It moves to the next day without one, until it is done or the same slot is due again. A
    rotation waits for it: all that follows moves too."""


class PlannedState(StrEnum):
    """What became of a planned session."""

    PLANNED = "PLANNED"
    DONE = "DONE"
    MISSED = "MISSED"
    SKIPPED = "SKIPPED"
    """Called off by the athlete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place of a plan that repeats."""

    number: int
    """From 1 on; of a rotation the day in it, of a week one of several."""
    workout_id: UUID | None
    """None is rest."""
    weekday: int | None = None
    """Of a week: 1 is Monday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Slots that repeat from one date on, until before another."""

    start: date
    end: date
    slots: Sequence[Slot]
    is_rotation: bool
    missed: MissedPolicy


def are_numbered_alike(one: Plan, other: Plan) -> bool:
    """Returns whether a number names the same session of either plan: the same workout in the same
    place, counted from the same day on."""
    return one.start == other.start and list(one.slots) == list(other.slots)


@dataclass(frozen=True, slots=True)
class Change:
    """What an athlete decided about a planned session: another day, or none."""

    new_date: date | None


@dataclass(frozen=True, slots=True)
class Done:
    """A session of a workout that was logged."""

    session_id: UUID
    local_date: date
    workout_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSession:
    """A workout that is due on a day."""

    number: int
    """Which of the plan's sessions it is, from 1 on; names it, whatever becomes of its day."""
    slot: int
    workout_id: UUID
    due_date: date
    """By the plan."""
    local_date: date
    """When it is to be done, was done, or should have been at the latest."""
    state: PlannedState
    session_id: UUID | None = None


def planned_sessions(
    plan: Plan, changes: Mapping[int, Change], done: Sequence[Done], today: date, last: date
) -> list[PlannedSession]:
    """Returns the planned sessions that are due up to a day, in the order of their days.

    Days before today are told by what was done; from today on everything is taken to be done when
    it is planned. `done` are sessions since the start of the plan, in any order.
    """
    walk = _Walk(plan, changes, done, today)
    day = plan.start
    while day <= last and day < plan.end:
        walk.day(day)
        day += ONE_DAY
    return sorted(walk.finished(), key=lambda one: (one.local_date, one.number))


@dataclass(slots=True)
class _Walk:
    """Goes through a plan day by day."""

    plan: Plan
    changes: Mapping[int, Change]
    done: Sequence[Done]
    today: date
    found: list[PlannedSession] = field(default_factory=list)
    pending: list[PlannedSession] = field(default_factory=list)
    """What was missed and may still be done, the earliest first."""
    number: int = 0
    """Of the last session, or day of a rotation, that came up."""
    moved: dict[date, list[PlannedSession]] = field(default_factory=lambda: defaultdict(list))
    """What the athlete moved, by its new day."""
    sessions: dict[date, list[Done]] = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = defaultdict(list)
        for one in self.done:
            self.sessions[one.local_date].append(one)

    def day(self, day: date) -> None:
        """Settles what is due on a day."""
        due = [*self.moved.pop(day, ()), *self._due(day)]
        self._drop_repeated(due)
        if not due and self.pending:
            due = [self.pending.pop(0)]
        for one in due:
            self._settle(replace(one, local_date=day), day)
        self._settle_pending_by_log(day)

    def finished(self) -> Iterator[PlannedSession]:
        """Yields everything, what is still pending included."""
        yield from self.found
        yield from self.pending
        for later in self.moved.values():
            yield from later

    def _due(self, day: date) -> list[PlannedSession]:
        """Returns what the plan has for a day and the athlete did not move or call off."""
        kept = []
        for slot in self._slots(day):
            self.number += 1
            if slot.workout_id is None:
                continue
            one = PlannedSession(
                number=self.number,
                slot=slot.number,
                workout_id=slot.workout_id,
                due_date=day,
                local_date=day,
                state=PlannedState.PLANNED,
            )
            change = self.changes.get(one.number)
            if change is None:
                kept.append(one)
            elif change.new_date is None:
                self.found.append(replace(one, state=PlannedState.SKIPPED))
            elif change.new_date <= day:
                self._settle(replace(one, local_date=change.new_date), change.new_date)
            else:
                self.moved[change.new_date].append(replace(one, local_date=change.new_date))
        return kept

    def _slots(self, day: date) -> list[Slot]:
        if not self.plan.is_rotation:
            return [slot for slot in self.plan.slots if slot.weekday == day.isoweekday()]
        if self._waits():
            return []
        return [self.plan.slots[self.number % len(self.plan.slots)]]

    def _waits(self) -> bool:
        """Whether a rotation stands still until what was missed is done."""
        return self.plan.missed is MissedPolicy.CARRY_OVER and bool(self.pending)

    def _drop_repeated(self, due: Sequence[PlannedSession]) -> None:
        """Gives up what was missed when the same slot is due again."""
        slots = {one.slot for one in due}
        for one in [one for one in self.pending if one.slot in slots]:
            self.pending.remove(one)
            self.found.append(one)

    def _settle(self, one: PlannedSession, day: date) -> None:
        """Tells what became of a planned session on its day."""
        session = self._take_session(day, one.workout_id)
        if session is not None:
            self.found.append(replace(one, state=PlannedState.DONE, session_id=session.session_id))
        elif day >= self.today:
            self.found.append(replace(one, state=PlannedState.PLANNED))
        elif self.plan.missed is MissedPolicy.CARRY_OVER:
            self.pending.append(replace(one, state=PlannedState.MISSED))
        else:
            self.found.append(replace(one, state=PlannedState.MISSED))

    def _settle_pending_by_log(self, day: date) -> None:
        """Takes a session that was logged for what was missed before, though more was due."""
        for one in list(self.pending):
            session = self._take_session(day, one.workout_id)
            if session is not None:
                self.pending.remove(one)
                self.found.append(
                    replace(
                        one,
                        local_date=day,
                        state=PlannedState.DONE,
                        session_id=session.session_id,
                    )
                )

    def _take_session(self, day: date, workout_id: UUID) -> Done | None:
        """Returns a session of a workout on a day that stands for no other planned one."""
        for session in self.sessions[day]:
            if session.workout_id == workout_id:
                self.sessions[day].remove(session)
                return session
        return None
