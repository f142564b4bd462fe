"""Recovery of muscles: the brief's numbers, and what must hold of any history."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.metrics import WorkingSet
from training_service.domain.recovery import (
    Muscles,
    Trained,
    mean_recovery,
    muscle_recoveries,
    recovery,
)

NOW = datetime(2026, 3, 2, 18, tzinfo=UTC)
PULL = Muscles(["LATS"], ["BICEPS"])


def trained(
    hours_ago: float, *sets: float | None, number: int = 1, rpe: float | None = None
) -> Trained:
    """Returns a session of pulling, with the RPE of each of its sets."""
    return Trained(
        session_id=UUID(int=number),
        ended_at=NOW - timedelta(hours=hours_ago),
        session_rpe=rpe,
        exercises=[(PULL, [WorkingSet(reps=5, rpe=one) for one in sets])],
    )


def of(muscle: str, *sessions: Trained) -> float:
    return muscle_recoveries([muscle], sessions, NOW)[muscle].recovery


def test_the_golden_number() -> None:
    """30 h of 48: section 8 of the domain brief."""
    assert recovery(30, 48) == 0.625
    assert of("LATS", trained(30, 8, 8)) == 0.625


def test_what_was_never_trained_is_recovered() -> None:
    assert of("LATS") == 1
    assert of("CHEST", trained(1, 10)) == 1


@pytest.mark.parametrize(
    ("ratings", "lats", "biceps"),
    [
        ([9.4] * 7, 48, 48),
        ([9.5], 72, 48),  # failure lengthens it for what the exercise works first of all
        ([7.0] * 8, 72, 48),
        ([7.0] * 15, 72, 48),  # 7.5 by half
        ([7.0] * 16, 72, 72),
        ([6.9] * 20, 48, 48),
        ([None] * 20, 48, 48),
    ],
)
def test_the_window(ratings: list[float | None], lats: int, biceps: int) -> None:
    found = muscle_recoveries(["LATS", "BICEPS"], [trained(24, *ratings)], NOW)
    assert [found[m].strains[0].window_hours for m in ("LATS", "BICEPS")] == [lats, biceps]
    assert found["LATS"].recovery == 24 / lats


def test_the_sessions_rating_stands_in_for_hard_sets_but_not_for_failure() -> None:
    [strain] = muscle_recoveries(["LATS"], [trained(24, *[None] * 7, rpe=10)], NOW)["LATS"].strains
    assert (strain.hard_set_count, strain.highest_rpe, strain.window_hours) == (7, None, 48)


def test_sets_that_were_not_done_say_nothing() -> None:
    session = Trained(
        session_id=UUID(int=1),
        ended_at=NOW,
        session_rpe=9,
        exercises=[(PULL, [WorkingSet(is_done=False, rpe=10)])],
    )
    assert of("LATS", session) == 1


def test_the_session_of_least_recovery_counts_and_all_are_named() -> None:
    hard, light = trained(50, 10, number=1), trained(40, 6, number=2)
    [first, second] = muscle_recoveries(["LATS"], [light, hard], NOW)["LATS"].strains
    assert (first.session_id, first.recovery) == (hard.session_id, 50 / 72)
    assert (second.session_id, second.recovery) == (light.session_id, 40 / 48)


SESSIONS = st.lists(
    st.builds(
        lambda hours, ratings, number: trained(hours, *ratings, number=number),
        st.floats(0, 100),
        st.lists(st.none() | st.floats(0, 10), max_size=20),
        st.integers(1, 10**6),
    ),
    max_size=6,
    unique_by=lambda one: one.session_id,
)


@given(SESSIONS, st.randoms())
def test_no_order_of_sessions_matters(sessions: list[Trained], random: object) -> None:
    shuffled = [*sessions]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    muscles = ["LATS", "BICEPS"]
    assert muscle_recoveries(muscles, sessions, NOW) == muscle_recoveries(muscles, shuffled, NOW)


@given(SESSIONS)
def test_without_the_sessions_that_it_names_a_muscle_is_recovered(sessions: list[Trained]) -> None:
    found = muscle_recoveries(["LATS"], sessions, NOW)["LATS"]
    assert 0 <= found.recovery <= 1
    named = {strain.session_id for strain in found.strains}
    rest = [one for one in sessions if one.session_id not in named]
    assert of("LATS", *rest) == 1


@given(SESSIONS, st.floats(0, 100))
def test_recovery_never_falls_with_time(sessions: list[Trained], hours: float) -> None:
    later = NOW + timedelta(hours=hours)
    assert muscle_recoveries(["LATS"], sessions, later)["LATS"].recovery >= of("LATS", *sessions)


def test_a_mean_is_by_sets_times_weight() -> None:
    found = muscle_recoveries(["LATS", "CHEST"], [trained(24, 8)], NOW)
    assert mean_recovery([("LATS", 3), ("CHEST", 1)], found) == pytest.approx(0.625)
    assert mean_recovery([("LATS", 0)], found) is None
