"""Where an athlete stands in the progression graph, and the ways through it.

An exercise is passed when the sets of its criterion were done in so many sessions in a row, once.
Nothing here hides or forbids an exercise: it tells what is advisable.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from graphlib import TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import fsum
from typing import NamedTuple
from uuid import UUID

from training_service.domain.exercise import Criterion, MovementKind

USUAL_SETS = 3
USUAL_SESSIONS = 2
"""Sessions in a row (our choice)."""
USUAL_REPS = 8
"""The routine of r/bodyweightfitness moves on at 3 × 8."""
USUAL_REPS_EACH_SIDE = 5
"""Our choice."""
USUAL_HOLD_SECONDS = ((6, 30.0), (9, 15.0), (20, 8.0))
"""Up to a difficulty: 30 s by the same routine (second-hand), less in harder holds (our choice)."""
MIN_STEP_WEIGHT = 0.5
"""A step between exercises of the same difficulty is a step (our choice)."""
SETS_SHARE = 0.9
"""Part of a criterion that its sets make up; the rest is to do them in sessions in a row (our
choice)."""
SHARE_UNITS = 1_000_000
"""Shares are compared in millionths, so that they can stand in a page token."""


def usual_criterion(kind: MovementKind, difficulty: int, *, unilateral: bool) -> Criterion:
    """Returns what must be done of an exercise that has no criterion of its own."""
    if kind is MovementKind.ISOMETRIC:
        seconds = next(s for most, s in USUAL_HOLD_SECONDS if difficulty <= most)
        return Criterion(USUAL_SETS, seconds, USUAL_SESSIONS)
    reps = USUAL_REPS_EACH_SIDE if unilateral else USUAL_REPS
    return Criterion(USUAL_SETS, reps, USUAL_SESSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """An exercise as the graph sees it."""

    id: UUID
    slug: str
    difficulty: int
    criterion: Criterion
    easier_ids: tuple[UUID, ...] = ()
    is_active: bool = True


class Practice(NamedTuple):
    """What an athlete did of an exercise, against its criterion."""

    exercise_id: UUID
    session_count: int
    """Sessions in which it was done."""
    last_date: date
    passed_date: date | None
    """When its criterion was first met."""
    session_run: int
    """How many sessions up to the last had all sets of the criterion, one after the other."""
    best_sets: Sequence[float]
    """Those of the session that came nearest to the criterion, as many as it asks for at most, the
    most first: repetitions or seconds."""
    last_sets: Sequence[float]
    """The same of the last session."""
    passed_session_id: UUID | None = None
    """The session in which its criterion was first met."""


class SkillState(StrEnum):
    """Where an athlete stands in an exercise."""

    PASSED = "PASSED"
    RECOMMENDED = "RECOMMENDED"
    """All of its easier exercises are passed, or it has none."""
    AVAILABLE = "AVAILABLE"
    """One of its easier exercises is passed, but not all."""
    LATER = "LATER"


OPEN = frozenset({SkillState.RECOMMENDED, SkillState.AVAILABLE})
"""States of an exercise whose turn has come."""


def missing_amount(criterion: Criterion, practice: Practice | None) -> float:
    """Returns the repetitions or seconds that the best session lacked, in all sets together."""
    best_sets = practice.best_sets if practice else ()
    met = fsum(min(one, criterion.amount) for one in best_sets)
    return max(criterion.set_count * criterion.amount - met, 0.0)


def missing_sessions(criterion: Criterion, practice: Practice | None) -> int:
    """Returns the sessions in a row that are still missing, when each has all sets."""
    if practice is None:
        return criterion.session_count
    return 0 if practice.passed_date else criterion.session_count - practice.session_run


def share_met(criterion: Criterion, practice: Practice | None) -> float:
    """Returns how much of a criterion is met: 1 when it is passed, and less before (our choice).

    0.9 × the best session's sum of min(set, M) over N × M, plus 0.1 × the sessions in a row that
    met N × M over K.
    """
    if practice is None:
        return 0.0
    if practice.passed_date:
        return 1.0
    sets = 1 - missing_amount(criterion, practice) / (criterion.set_count * criterion.amount)
    return SETS_SHARE * sets + (1 - SETS_SHARE) * practice.session_run / criterion.session_count


def distance(name: str, kind: MovementKind, criterion: Criterion, practice: Practice | None) -> str:
    """Returns in English what is missing to pass an exercise."""
    goal = f"{criterion.set_count} × {_amount(criterion.amount, kind)}"
    in_a_row = f"in {_counted(criterion.session_count, 'session')}"
    if criterion.session_count > 1:
        in_a_row += " in a row"
    if practice is None:
        return f"{name}: not begun; asks for {goal} {in_a_row}"
    if practice.passed_date:
        return f"{name}: passed with {goal} {in_a_row}"
    missing = missing_amount(criterion, practice)
    if not missing:
        return (
            f"{name} {goal} met in {practice.session_run} of "
            f"{_counted(criterion.session_count, 'session')} in a row"
        )
    if not practice.best_sets:
        return f"{name}: no set without assistance yet; asks for {goal} {in_a_row}"
    return f"{name} {_sets(practice.best_sets, kind)} of {goal}: {_more(criterion, practice, kind)}"


def _more(criterion: Criterion, practice: Practice, kind: MovementKind) -> str:
    unit = "second" if kind is MovementKind.ISOMETRIC else "repetition"
    done = practice.best_sets
    if len(done) == criterion.set_count and len(set(done)) == 1:
        return f"{_counted(criterion.amount - done[0], f'more {unit}')} in each set"
    return f"{_counted(missing_amount(criterion, practice), f'more {unit}')} in all"


def _sets(sets: Sequence[float], kind: MovementKind) -> str:
    if len(set(sets)) == 1:
        return f"{len(sets)} × {_amount(sets[0], kind)}"
    return ", ".join(_amount(one, kind) for one in sets)


def _amount(amount: float, kind: MovementKind) -> str:
    return f"{amount:g} s" if kind is MovementKind.ISOMETRIC else f"{amount:g}"


def _counted(count: float, noun: str) -> str:
    return f"{count:g} {noun}" if count == 1 else f"{count:g} {noun}s"


class Unlock(NamedTuple):
    """Something an athlete is about to reach."""

    skill: Skill
    work_on: Skill
    """The exercise to pass first: the skill itself if its turn has come, else an easier one."""
    share: float
    """Share of its criterion that is met."""
    is_next: bool
    """Whether it comes next after something that is passed."""

    @property
    def place(self) -> tuple[int, int, int, str]:
        """Sort key: the largest share first, then what comes next, then the easiest."""
        share = round(self.share * SHARE_UNITS)
        return -share, int(not self.is_next), self.skill.difficulty, self.skill.slug


class Step(NamedTuple):
    """An exercise on the way to another."""

    skill: Skill
    weight: float


class Path(NamedTuple):
    """The way to an exercise: the one passed that it begins behind, and those still to pass."""

    start: Skill | None
    steps: Sequence[Step]

    @property
    def total_weight(self) -> float:
        """The sum of the weights."""
        return fsum(step.weight for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillGraph:
    """Exercises, the edges between them, and where an athlete stands in each."""

    skills: Mapping[UUID, Skill]
    easier: Mapping[UUID, Sequence[Skill]]
    """Of each exercise, those that lead to it, by slug."""
    practices: Mapping[UUID, Practice]
    """What the athlete did; exercises that were never done are left out."""

    def is_passed(self, skill: Skill) -> bool:
        """Returns whether the criterion of an exercise was met."""
        practice = self.practices.get(skill.id)
        return practice is not None and practice.passed_date is not None

    def state(self, skill: Skill) -> SkillState:
        """Returns where the athlete stands in an exercise. A deprecated one is not recommended."""
        if self.is_passed(skill):
            return SkillState.PASSED
        passed = [self.is_passed(one) for one in self.easier[skill.id]]
        if all(passed):
            return SkillState.RECOMMENDED if skill.is_active else SkillState.AVAILABLE
        return SkillState.AVAILABLE if any(passed) else SkillState.LATER

    def share(self, skill: Skill) -> float:
        """Returns how much of its criterion is met."""
        return share_met(skill.criterion, self.practices.get(skill.id))

    def ordered(self, ids: Iterable[UUID]) -> list[Skill]:
        """Returns exercises, the easiest first; of equal difficulty, what leads to others before
        those, and else by slug."""
        depth = {skill.id: 0 for skill in self.skills.values()}
        for skill in self._easier_first():
            level = [one for one in self.easier[skill.id] if one.difficulty == skill.difficulty]
            depth[skill.id] = max((depth[one.id] + 1 for one in level), default=0)
        chosen = [self.skills[id] for id in ids]
        return sorted(chosen, key=lambda one: (one.difficulty, depth[one.id], one.slug))

    def _easier_first(self) -> Iterable[Skill]:
        """Returns the exercises in an order in which each comes after all that lead to it."""
        leading = {id: [one.id for one in easier] for id, easier in self.easier.items()}
        return [self.skills[id] for id in TopologicalSorter(leading).static_order()]

    def unlocks(self) -> list[Unlock]:
        """Returns what the athlete is about to reach, the nearest first: exercises whose turn has
        come or that are begun, and exercises behind one that is begun."""
        found = [
            Unlock(skill, work_on, self.share(work_on), self._is_next(work_on))
            for skill in self.skills.values()
            if skill.is_active and (work_on := self._work_on(skill))
        ]
        return sorted(found, key=lambda unlock: unlock.place)

    def _is_next(self, skill: Skill) -> bool:
        return any(self.is_passed(one) for one in self.easier[skill.id])

    def _work_on(self, skill: Skill) -> Skill | None:
        state = self.state(skill)
        if state is SkillState.PASSED:
            return None
        # Few log the first steps of what they are able to do: what is begun counts, too.
        if state in OPEN or skill.id in self.practices:
            return skill
        begun = [one for one in self.easier[skill.id] if one.id in self.practices]
        return min(
            begun, key=lambda one: (-self.share(one), one.difficulty, one.slug), default=None
        )

    def path(self, target: Skill) -> Path:
        """Returns the way of the least weight from what is passed to an exercise, by Dijkstra; of
        equal ones the first by the slugs along it. Without a step when it is passed.

        Who has passed nothing that leads there begins with an exercise that nothing leads to, whose
        own weight is its difficulty.
        """
        leading = self._leading_to(target)
        harder = self._harder(leading)
        queue = [(cost, [skill.slug], [skill]) for skill, cost in self._starts(leading)]
        heapify(queue)
        done: set[UUID] = set()
        while True:
            cost, slugs, way = heappop(queue)
            last = way[-1]
            if last == target:
                return self._as_path(way)
            if last.id in done:
                continue
            done.add(last.id)
            for skill in harder.get(last.id, ()):
                further = cost + step_weight(last, skill)
                heappush(queue, (further, [*slugs, skill.slug], [*way, skill]))

    def _starts(self, leading: Sequence[Skill]) -> list[tuple[Skill, float]]:
        """Returns where ways begin, and what that costs."""
        passed = [(skill, 0.0) for skill in leading if self.is_passed(skill)]
        return passed or [
            (skill, step_weight(None, skill)) for skill in leading if not self.easier[skill.id]
        ]

    def _leading_to(self, target: Skill) -> list[Skill]:
        """Returns an exercise and all from which ways lead to it."""
        found = closure([target.id], lambda id: [one.id for one in self.easier[id]])
        return [self.skills[id] for id in found]

    def _harder(self, skills: Iterable[Skill]) -> dict[UUID, list[Skill]]:
        harder: dict[UUID, list[Skill]] = {}
        for skill in skills:
            for one in self.easier[skill.id]:
                harder.setdefault(one.id, []).append(skill)
        return harder

    def _as_path(self, way: Sequence[Skill]) -> Path:
        start = way[0] if self.is_passed(way[0]) else None
        whole = way if start else [None, *way]
        return Path(start, [Step(b, step_weight(a, b)) for a, b in pairwise(whole) if b])

    def share_done(self, path: Path) -> float:
        """Returns how much of a way is done: the first step's weight × the share of its criterion
        that is met, over all weights. 1 for a way without a step."""
        if not path.steps:
            return 1.0
        first = path.steps[0]
        return first.weight * self.share(first.skill) / path.total_weight


def step_weight(before: Skill | None, skill: Skill) -> float:
    """Returns by how much an exercise is more difficult than the one before it."""
    return max(float(skill.difficulty - (before.difficulty if before else 0)), MIN_STEP_WEIGHT)


def graph_of(skills: Mapping[UUID, Skill], practices: Mapping[UUID, Practice]) -> SkillGraph:
    """Returns the graph of what concerns an athlete: active exercises, and those that were done."""
    return _graph(skills, practices, practices)


def graph_towards(
    target: Skill, skills: Mapping[UUID, Skill], practices: Mapping[UUID, Practice]
) -> SkillGraph:
    """Returns the graph in which ways to an exercise are looked for. They begin behind a deprecated
    exercise that was passed, and lead through none."""
    passed = {id for id, practice in practices.items() if practice.passed_date}
    return _graph(skills, practices, {*passed, target.id})


def _graph(
    skills: Mapping[UUID, Skill], practices: Mapping[UUID, Practice], kept_ids: Container[UUID]
) -> SkillGraph:
    """Returns the graph without deprecated exercises but those that are to be kept. Where one is
    left out, what leads to it leads to what it led to."""
    kept = {id: skill for id, skill in skills.items() if skill.is_active or id in kept_ids}
    easier = {id: _kept_easier(skill, skills, kept) for id, skill in kept.items()}
    return SkillGraph(skills=kept, easier=easier, practices=practices)


def _kept_easier(
    skill: Skill, skills: Mapping[UUID, Skill], kept: Mapping[UUID, Skill]
) -> list[Skill]:
    """Returns the exercises that lead to one, directly or by way of those that are left out."""
    found = closure(skill.easier_ids, lambda id: () if id in kept else skills[id].easier_ids)
    return sorted((kept[id] for id in found if id in kept), key=lambda one: one.slug)


def leading_to(ids: Iterable[UUID], skills: Mapping[UUID, Skill]) -> dict[UUID, Skill]:
    """Returns exercises and all that lead to them: what their states and ways depend on."""
    return {id: skills[id] for id in closure(ids, lambda id: skills[id].easier_ids)}


def closure(starts: Iterable[UUID], following: Callable[[UUID], Iterable[UUID]]) -> set[UUID]:
    """Returns all that is reached from somewhere, the starts included."""
    found: set[UUID] = set()
    waiting = list(starts)
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting.extend(following(id))
    return found
