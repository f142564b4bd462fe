"""Replaying which workout was done: by hand, and that nothing is known too early."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.exercise import exercise_id
from training_service.domain.metrics import WorkingSet
from training_service.learning.choices import (
    BASELINES,
    CHANCE,
    RECOMMENDER,
    Decision,
    _NotAsked,
    _Past,
    judge,
    replay_choices,
)
from training_service.learning.history import Occasion

START = datetime(2025, 1, 6, 18, tzinfo=UTC)
SLUGS = {"push": "push-up", "pull": "pull-up", "legs": "bodyweight-squat"}


def session(
    day: float, name: str, *, user: str = "alice", reps: float = 8, amount: float = 24
) -> Occasion:
    started_at = START + timedelta(days=day)
    return Occasion(
        user_id=user,
        session_id=str(UUID(int=round(1000 * day) + len(user) * 10**9)),
        exercise_id=exercise_id(SLUGS[name]),
        started_at=started_at,
        day=started_at.date(),
        sets=[WorkingSet(reps=reps, rpe=8)] * 3,
        effective_reps=amount,
        rpe=8,
    )


def asked(*sessions: Occasion) -> Decision | _NotAsked:
    """Returns the last session as it stood when it began."""
    past = _Past()
    *before, last = sessions
    for one in before:
        past.remember([one])
    return past.decision([last])


def decided(*sessions: Occasion) -> Decision:
    found = asked(*sessions)
    assert isinstance(found, Decision)
    return found


def test_what_is_known_of_workouts_done_before() -> None:
    found = decided(
        session(0, "push"),
        session(1, "pull"),
        session(3, "push"),
        session(4, "pull", amount=20),
        session(5, "push", amount=12),
    )
    by_exercise = {one.workout.exercise_ids[0]: one for one in found.candidates}
    push, pull = (by_exercise[exercise_id(SLUGS[name])] for name in ("push", "pull"))
    assert (push.done_count, pull.done_count) == (2, 2)
    # After the last one, pull, came push; pull never followed itself.
    assert (push.followed_count, pull.followed_count) == (1, 0)
    assert push.last_at == START + timedelta(days=3)
    assert found.chosen_id == push.workout.id
    assert found.went == 12 / 24
    assert found.athlete.sets["PUSH"] == 6  # type: ignore[index]
    assert found.athlete.recoveries["LATS"].recovery == pytest.approx(24 / 48)
    assert found.athlete.recoveries["CHEST"].recovery == 1


def test_ranks_of_that_session() -> None:
    found = judge(
        decided(session(0, "push"), session(1, "pull"), session(2, "legs"), session(3, "push"))
    )
    assert found.hits["the one longest ago"] == (1, 1, 1)
    assert found.hits["the last one again"] == (0, 1, 1 / 3)
    # All were done once, and nothing ever followed legs: both then go by the one longest ago.
    assert found.hits["the most frequent"] == (1, 1, 1)
    assert found.hits["what followed before"] == (1, 1, 1)
    assert found.hits[CHANCE] == (1 / 3, 1, pytest.approx((1 + 1 / 2 + 1 / 3) / 3))
    assert set(found.hits) == {RECOMMENDER, CHANCE, *BASELINES}


def test_the_recommender_prefers_what_has_rested() -> None:
    past = [session(0, "push"), session(4, "pull"), session(8, "push"), session(8.5, "push")]
    tired = judge(decided(*past, session(9, "push")))
    rested = judge(decided(*past, session(9, "pull")))
    assert (tired.hits[RECOMMENDER].first, rested.hits[RECOMMENDER].first) == (0, 1)
    assert (tired.is_upper_half, rested.is_upper_half) == (False, True)


def test_no_choice_is_no_decision() -> None:
    new = asked(session(0, "push"), session(1, "pull"))
    assert isinstance(new, _NotAsked)
    assert new.is_new
    lone = asked(session(0, "push"), session(1, "push"))
    assert isinstance(lone, _NotAsked)
    assert not lone.is_new


def test_sessions_that_are_no_choice_are_counted() -> None:
    log = [session(day, "push") for day in range(10)]
    found = replay_choices([*log, session(11, "pull"), session(12, "push")])
    assert (found.decision_count, found.new_count, found.lone_count) == (1, 1, 5)
    assert replay_choices([]).scores == []
    assert replay_choices(log).scores == []


DAYS = st.lists(st.integers(1, 3), min_size=3, max_size=12)


@given(DAYS, st.data())
def test_a_decision_knows_nothing_of_what_comes_later(gaps: list[int], data: st.DataObject) -> None:
    day, log = 0, []
    for gap in gaps:
        day += gap
        log.append(session(day, data.draw(st.sampled_from([*SLUGS]))))
    later = [session(day + 1, data.draw(st.sampled_from([*SLUGS]))), session(day + 2, "legs")]
    past, found = _Past(), []
    for one in [*log, *later]:
        found.append(past.decision([one]))
        past.remember([one])
    again = _Past()
    for one, before in zip(log, found, strict=False):
        assert again.decision([one]) == before
        again.remember([one])


def test_athletes_do_not_know_of_each_other() -> None:
    alice = [session(day, name) for day, name in enumerate(["push", "pull"] * 5)]
    bob = [session(day, name, user="bob") for day, name in enumerate(["pull", "push"] * 5)]
    both = replay_choices([*alice, *bob])
    assert both.user_count == 2
    assert both.decision_count == 12
    assert both.score_of("what followed before").first == 1
    assert replay_choices([*alice, *bob]) == both


def test_a_gain_of_athletes_who_all_gain_is_above_nothing() -> None:
    log = [
        one
        for user in ("alice", "bob", "christine")
        for one in [
            session(day, name, user=user)
            for day, name in enumerate(["push", "pull", "legs", "pull"] * 6)
        ]
    ]
    found = replay_choices(log)
    assert found.scores[0].name == "what followed before"
    gain = found.score_of(RECOMMENDER).gain
    assert gain
    assert gain.low <= gain.mean <= gain.high < 0
