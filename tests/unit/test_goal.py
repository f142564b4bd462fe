"""How goals stand, without a database."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.exercise import Criterion
from training_service.domain.forecast import Point
from training_service.domain.goal import (
    Achievement,
    Evidence,
    Goal,
    GoalKind,
    GoalStatus,
    GoalTarget,
    PathStep,
    StepStanding,
    current_value,
    path_progress,
    progress,
    standing,
)
from training_service.domain.skill import Practice

TODAY = date(2026, 3, 18)
NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
GOAL = Goal(
    id=uuid4(),
    display_name="Twelve",
    target=GoalTarget(kind=GoalKind.REPS, exercise_id=uuid4(), value=12),
    created_date=TODAY,
    created_at=NOW,
)
MET = Achievement(TODAY, uuid4())

amounts = st.integers(0, 200).map(lambda n: n / 4)


@pytest.mark.parametrize(
    ("base", "current", "target", "expected"),
    [
        (6, 6, 12, 0),
        (6, 9, 12, 0.5),
        (6, 12, 12, 1),
        (6, 20, 12, 1),
        (6, 3, 12, 0),  # below the start is not less than nothing
        (None, 6, 12, 0.5),
        (12, 12, 12, 1),
        (12, 11, 12, 0),
        (15, 11, 12, 0),
        (15, 13, 12, 1),
    ],
)
def test_progress_is_the_share_of_the_way_from_the_base(
    base: float | None, current: float, target: float, expected: float
) -> None:
    assert progress(base, current, target) == expected


@given(st.none() | amounts, amounts, amounts, amounts.filter(bool))
def test_more_is_never_less_progress(
    base: float | None, current: float, more: float, target: float
) -> None:
    before, after = progress(base, current, target), progress(base, current + more, target)
    assert 0 <= before <= after <= 1
    assert (after == 1) == (current + more >= target)


@pytest.mark.parametrize(
    ("deadline", "achieved", "abandoned", "expected"),
    [
        (None, None, False, GoalStatus.ACTIVE),
        (TODAY, None, False, GoalStatus.ACTIVE),
        (TODAY - timedelta(days=1), None, False, GoalStatus.OVERDUE),
        (TODAY - timedelta(days=1), MET, False, GoalStatus.ACHIEVED),
        (TODAY - timedelta(days=1), None, True, GoalStatus.ABANDONED),
        (None, MET, True, GoalStatus.ABANDONED),
    ],
)
def test_status(
    deadline: date | None, achieved: Achievement | None, abandoned: bool, expected: GoalStatus
) -> None:
    goal = replace(GOAL, deadline=deadline, abandoned_at=NOW if abandoned else None)
    assert standing(goal, Evidence(achieved=achieved), TODAY).status is expected


def test_the_current_value_is_of_28_days() -> None:
    points = [Point(TODAY - timedelta(days=days), value) for days, value in ((28, 9), (27, 7))]
    assert current_value(GoalKind.REPS, Evidence(points=points), TODAY) == 7
    assert current_value(GoalKind.REPS, Evidence(points=points[:1]), TODAY) is None
    assert standing(GOAL, Evidence(points=points[:1]), TODAY).progress is None


def steps(*given: tuple[float, bool, float]) -> list[StepStanding]:
    return [StepStanding(PathStep(uuid4(), weight), done, share) for weight, done, share in given]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([(2, False, 0)], 0),
        ([(2, False, 0.5)], 0.5),
        ([(2, True, 1)], 1),
        ([(1, True, 1), (1, False, 0.5), (2, False, 0.9)], 1.5 / 4),
        # A later step that is passed counts, and the first that is not is the next.
        ([(1, False, 0.5), (1, True, 1), (2, False, 0.9)], 1.5 / 4),
        ([(1, False, 0), (3, True, 1)], 1),
    ],
)
def test_progress_on_a_path(given: list[tuple[float, bool, float]], expected: float) -> None:
    assert path_progress(steps(*given)) == expected


def test_the_share_of_a_step_is_of_the_criterion_now() -> None:
    exercise_id: UUID = uuid4()
    goal = replace(
        GOAL,
        target=GoalTarget(kind=GoalKind.SKILL, exercise_id=exercise_id),
        path=[PathStep(exercise_id, 2.0)],
    )
    practice = Practice(exercise_id, 1, TODAY, None, 0, [6.0, 6.0, 6.0], [6.0, 6.0, 6.0])
    found = [
        standing(
            goal,
            Evidence(practices={exercise_id: practice}, criteria={exercise_id: criterion}),
            TODAY,
        ).progress
        for criterion in (Criterion(3, 8, 2), Criterion(3, 12, 2))
    ]
    assert found == pytest.approx([0.9 * 18 / 24, 0.9 * 18 / 36])
