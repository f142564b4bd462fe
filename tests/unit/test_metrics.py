"""What a session amounts to: golden values, null rules and invariants."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import (
    MOST_LOADED_REPS,
    ExerciseTraits,
    IntensityBasis,
    LoadBasis,
    LoggedSession,
    Performance,
    SessionMetrics,
    Side,
    Target,
    Total,
    WorkingSet,
    effective_reps,
    load_per_rep_kg,
    one_rep_max_kg,
    session_metrics,
)
from training_service.domain.tempo import parse_tempo


def dynamic(category: str, difficulty: int, fraction: float, **more: bool) -> ExerciseTraits:
    return ExerciseTraits(
        category=category,
        difficulty=difficulty,
        movement_kind=MovementKind.DYNAMIC,
        bodyweight_fraction=fraction,
        **more,
    )


PULL_UP = dynamic("PULL", 6, 0.95)
PUSH_UP = dynamic("PUSH", 3, 0.64)
PISTOL = dynamic("LEGS", 6, 0.94)
NEGATIVE = dynamic("PULL", 4, 0.95, is_negative=True)
SIT_UP = dynamic("CORE", 2, 0.4)
PLANCHE = ExerciseTraits(
    category="SKILL",
    difficulty=7,
    movement_kind=MovementKind.ISOMETRIC,
    bodyweight_fraction=0.95,
)


def of(exercise: ExerciseTraits, *sets: WorkingSet) -> Performance:
    return Performance(exercise=exercise, sets=sets)


def of_one(exercise: ExerciseTraits, **given: object) -> LoggedSession:
    """Returns a session of one set."""
    performance = of(exercise, WorkingSet(**given))  # type: ignore[arg-type]
    return LoggedSession(performances=[performance], body_mass_kg=75)


def one(exercise: ExerciseTraits, **given: object) -> SessionMetrics:
    """Returns the metrics of a session of one set."""
    return session_metrics(of_one(exercise, **given))


GOLDEN = LoggedSession(
    performances=[
        of(PULL_UP, *[WorkingSet(reps=6, external_load_kg=10, rpe=8)] * 4),
        of(PUSH_UP, *[WorkingSet(reps=12, rpe=6)] * 3),
        of(PLANCHE, *[WorkingSet(hold_seconds=12, rpe=8)] * 5),
        of(PISTOL, *[WorkingSet(reps=5, side=side) for side in (Side.LEFT, Side.RIGHT)] * 3),
    ],
    duration_seconds=55 * 60,
    session_rpe=7,
    body_mass_kg=75,
)
"""The domain's worked example: a session of 55 minutes at 75 kg, rated 7."""


def test_the_golden_session() -> None:
    metrics = session_metrics(GOLDEN)
    volume = metrics.volume
    assert metrics.set_count == 18
    assert volume.reps.value == 90
    assert (volume.left_reps, volume.right_reps) == (15, 15)
    assert volume.hold_seconds.value == 60
    assert volume.volume_load_kg.value == pytest.approx(5793)
    assert volume.external_volume_load_kg.value == 240
    assert volume.impulse_kg_seconds.value == pytest.approx(4275)
    assert volume.effective_reps.value == 120
    assert volume.hard_sets.value == 4 + 0 + 5 + 6
    assert [e.unaided_sets for e in metrics.exercises] == [[6] * 4, [12] * 3, [12] * 5, [5] * 3]
    assert metrics.skill_effective_reps.value == 30
    assert metrics.strength_effective_reps.value == 90
    assert metrics.core_effective_reps.value == 0
    assert metrics.intensity == pytest.approx(49.125)
    assert metrics.intensity_basis is IntensityBasis.DIFFICULTY_AND_EFFORT
    assert metrics.load_au == pytest.approx(385)
    assert metrics.load_basis is LoadBasis.SESSION_RPE
    assert metrics.volume_load_kg_per_minute == pytest.approx(105.327, abs=5e-4)
    assert metrics.effective_reps_per_minute == pytest.approx(120 / 55)
    tonnage = [e.volume.volume_load_kg.value for e in session_metrics(GOLDEN).exercises]
    assert tonnage == pytest.approx([1950, 1728, 0, 2115])


def test_the_golden_one_rep_max() -> None:
    estimates = one_rep_max_kg(81.25, 6, 2)
    assert estimates == pytest.approx((102.917, 100.862), abs=5e-4)
    pull_ups = session_metrics(GOLDEN).exercises[0]
    assert (pull_ups.best.epley_1rm_kg, pull_ups.best.brzycki_1rm_kg) == pytest.approx(estimates)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3-0-1-0", 4), ("40X0", 5), ("10X0", 2), ("10-0-1-0", 11), ("3-1-1", 5), ("3/0/x/1", 5)],
)
def test_golden_tempos(text: str, seconds: float) -> None:
    tempo = parse_tempo(text)
    assert tempo is not None
    assert tempo.seconds_per_rep == seconds


@pytest.mark.parametrize("text", ["", "3-0-Y-0", "301", "30100", "100-0-1-0", "3-0", "3-0-1-0-0"])
def test_other_texts_are_no_tempo(text: str) -> None:
    assert parse_tempo(text) is None


@pytest.mark.parametrize(
    ("reps", "reserve"), [(0, 2), (11, 0), (8, 2.5)], ids=["none", "many", "many to failure"]
)
def test_a_one_rep_max_is_not_guessed(reps: int, reserve: float) -> None:
    assert one_rep_max_kg(80, reps, reserve) is None


@pytest.mark.parametrize(
    "given",
    [
        {"reps": 6, "rpe": 8},
        {"reps": 6, "rpe": 8, "external_load_kg": -20},
        {"reps": 6, "external_load_kg": 10},
        {"rpe": 8, "external_load_kg": 10},
    ],
    ids=["no load", "assistance", "no effort", "no reps"],
)
def test_a_one_rep_max_needs_load_reps_and_effort(given: dict[str, float]) -> None:
    [exercise] = session_metrics(of_one(PULL_UP, **given)).exercises
    assert exercise.best.epley_1rm_kg is exercise.best.brzycki_1rm_kg is None


def test_assistance_takes_load_off_down_to_nothing() -> None:
    assert load_per_rep_kg(0.95, 75, -20) == pytest.approx(51.25)
    assert load_per_rep_kg(0.95, 75, -100) == 0


def test_without_body_mass_only_the_external_load_is_known() -> None:
    session = replace(GOLDEN, body_mass_kg=None)
    volume = session_metrics(session).volume
    assert volume.volume_load_kg.value is None
    assert volume.volume_load_kg.coverage == 0
    assert volume.impulse_kg_seconds.value is None
    assert volume.external_volume_load_kg.value == 240
    assert session_metrics(session).volume_load_kg_per_minute is None


def test_what_does_not_move_the_body_needs_no_body_mass() -> None:
    assert load_per_rep_kg(0, None, 20) == 20


def test_a_negative_counts_the_seconds_of_its_lowering() -> None:
    assert effective_reps(NEGATIVE, 3, None, "6-0-1-0") == 6
    assert effective_reps(NEGATIVE, 3, None, "") is None
    assert effective_reps(PULL_UP, 3, None, "6-0-1-0") == 3


def test_dynamic_time_under_tension_is_not_guessed() -> None:
    sets = [WorkingSet(reps=5, tempo="3-0-1-0"), WorkingSet(reps=5)]
    seconds = session_metrics(LoggedSession(performances=[of(PULL_UP, *sets)]))
    assert seconds.volume.dynamic_seconds.value == 20
    assert seconds.volume.dynamic_seconds.coverage == 0.5
    assert one(PULL_UP, reps=5).volume.dynamic_seconds.value is None


def test_unknown_is_not_nothing() -> None:
    unknown = one(PULL_UP).volume
    assert (
        unknown.reps.value is unknown.volume_load_kg.value is unknown.effective_reps.value is None
    )
    assert unknown.reps.coverage == 0
    none = one(PULL_UP, reps=0).volume
    assert none.reps.value == none.volume_load_kg.value == none.effective_reps.value == 0
    assert none.reps.coverage == 1
    assert none.hold_seconds.value == 0
    assert none.hold_seconds.coverage is None


def test_sums_skip_what_is_unknown_and_say_so() -> None:
    sets = [WorkingSet(reps=5), WorkingSet(), WorkingSet(reps=3), WorkingSet(reps=4)]
    reps = session_metrics(LoggedSession(performances=[of(PULL_UP, *sets)])).volume.reps
    assert (reps.value, reps.coverage) == (12, 0.75)


def test_what_was_not_done_counts_nowhere() -> None:
    metrics = one(PULL_UP, is_done=False, reps=5)
    assert metrics.set_count == metrics.volume.reps.value == metrics.volume.reps.of == 0
    assert metrics.intensity is metrics.intensity_basis is None


def test_one_set_without_any_effort_makes_intensity_one_of_difficulty() -> None:
    metrics = session_metrics(replace(GOLDEN, session_rpe=None))
    assert metrics.intensity_basis is IntensityBasis.DIFFICULTY_ONLY
    assert metrics.intensity == pytest.approx((24 * 30 + 36 * 15 + 30 * 35 + 30 * 30) / 120)


def test_load_falls_back_to_the_effort_of_the_sets() -> None:
    metrics = session_metrics(replace(GOLDEN, session_rpe=None))
    assert metrics.load_basis is LoadBasis.SET_RPE
    assert metrics.load_au == pytest.approx(55 * (24 * 8 + 36 * 6 + 30 * 8) / 90)


@pytest.mark.parametrize("missing", ["duration_seconds", "session_rpe"])
def test_load_is_unknown_without_duration_or_effort(missing: str) -> None:
    bare = [of(p.exercise, *(s._replace(rpe=None) for s in p.sets)) for p in GOLDEN.performances]
    metrics = session_metrics(replace(GOLDEN, performances=bare, **{missing: None}))
    assert metrics.load_au is metrics.load_basis is None


def test_a_session_of_no_time_has_no_density() -> None:
    metrics = session_metrics(replace(GOLDEN, duration_seconds=0))
    assert metrics.effective_reps_per_minute is metrics.volume_load_kg_per_minute is None
    assert metrics.load_au == 0


def test_completion_compares_what_was_planned_at_least() -> None:
    sets = [
        WorkingSet(reps=8, target=Target(reps=8)),
        WorkingSet(reps=4, target=Target(reps=8)),
        WorkingSet(is_done=False, target=Target(reps=8)),
        WorkingSet(reps=10),
    ]
    volume = session_metrics(LoggedSession(performances=[of(PULL_UP, *sets)])).volume
    assert volume.planned_effective_reps.value == 24
    assert volume.achieved_effective_reps.value == 12
    assert volume.completion == 0.5


@pytest.mark.parametrize(
    "given",
    [{"reps": 5}, {"target": Target(reps=5)}, {"reps": 5, "target": Target()}],
    ids=["no plan", "unknown reps", "plan without volume"],
)
def test_completion_is_not_guessed(given: dict[str, object]) -> None:
    assert one(PULL_UP, **given).volume.completion is None


def test_an_empty_session_is_known_to_be_nothing() -> None:
    metrics = session_metrics(LoggedSession(performances=[]))
    assert metrics.volume.effective_reps.value == 0
    assert metrics.volume.effective_reps.coverage is None
    assert session_metrics(LoggedSession(performances=[])).exercises == []


NUMBERS = st.floats(0, 1000, allow_nan=False)
TARGETS = st.builds(
    Target,
    reps=st.none() | NUMBERS,
    hold_seconds=st.none() | NUMBERS,
    tempo=st.sampled_from(["", "3-0-1-0"]),
)


@st.composite
def performances(draw: st.DrawFn) -> Performance:
    exercise = draw(st.sampled_from([PULL_UP, PUSH_UP, PISTOL, NEGATIVE, SIT_UP, PLANCHE]))
    is_hold = exercise.movement_kind is MovementKind.ISOMETRIC
    sets = st.builds(
        WorkingSet,
        is_done=st.booleans(),
        reps=st.none() if is_hold else st.none() | st.integers(0, 100),
        hold_seconds=st.none() | NUMBERS if is_hold else st.none(),
        side=st.sampled_from(Side),
        external_load_kg=st.floats(-100, 200, allow_nan=False),
        rpe=st.none() | st.floats(0, 10, allow_nan=False),
        tempo=st.sampled_from(["", "3-0-1-0", "40X0"]),
        target=st.none() | TARGETS,
    )
    return of(exercise, *draw(st.lists(sets, max_size=4)))


SESSIONS = st.builds(
    LoggedSession,
    performances=st.lists(performances(), max_size=5),
    duration_seconds=st.none() | st.integers(0, 86_400),
    session_rpe=st.none() | st.floats(0, 10, allow_nan=False),
    body_mass_kg=st.none() | st.floats(30, 200, allow_nan=False),
)


def test_a_set_is_hard_by_its_own_rating_or_else_that_of_the_session() -> None:
    session = of_one(PULL_UP, reps=5)
    assert session_metrics(session).volume.hard_sets == Total(0, 0, 1)
    assert session_metrics(replace(session, session_rpe=7)).volume.hard_sets == Total(1, 1, 1)
    rated = replace(of_one(PULL_UP, reps=5, rpe=6.5), session_rpe=9)
    assert session_metrics(rated).volume.hard_sets == Total(0, 1, 1)


def test_one_sided_work_is_that_of_the_weaker_side() -> None:
    sets = [
        WorkingSet(reps=8, side=Side.LEFT),
        WorkingSet(reps=6, side=Side.RIGHT),
        WorkingSet(reps=5, side=Side.RIGHT),
        WorkingSet(reps=3),
        WorkingSet(reps=9, external_load_kg=-10),
        WorkingSet(reps=9, is_done=False),
        WorkingSet(reps=0),
    ]
    session = LoggedSession(performances=[of(PISTOL, *sets)])
    assert session_metrics(session).exercises[0].unaided_sets == [6, 3]


def test_loads_are_told_by_repetitions() -> None:
    sets = [
        WorkingSet(reps=2, external_load_kg=30),
        WorkingSet(reps=4, external_load_kg=20),
        WorkingSet(reps=3, external_load_kg=10),
        WorkingSet(reps=9),
        WorkingSet(reps=9, external_load_kg=-5),
        WorkingSet(reps=9, external_load_kg=40, is_done=False),
        WorkingSet(external_load_kg=50),
    ]
    session = LoggedSession(performances=[of(PULL_UP, *sets)])
    assert session_metrics(session).exercises[0].loads_kg_by_reps == [30, 30, 20, 20]
    assert session_metrics(GOLDEN).exercises[0].loads_kg_by_reps == [10] * 6
    assert session_metrics(GOLDEN).exercises[2].loads_kg_by_reps == []


def test_the_load_of_one_sided_work_is_that_of_the_weaker_side() -> None:
    sets = [
        WorkingSet(reps=5, external_load_kg=20, side=Side.LEFT),
        WorkingSet(reps=3, external_load_kg=20, side=Side.RIGHT),
        WorkingSet(reps=4, external_load_kg=10, side=Side.RIGHT),
    ]
    session = LoggedSession(performances=[of(PISTOL, *sets)])
    assert session_metrics(session).exercises[0].loads_kg_by_reps == [20, 20, 20, 10]
    one_side = LoggedSession(performances=[of(PISTOL, *sets[:1])])
    assert session_metrics(one_side).exercises[0].loads_kg_by_reps == []


@given(SESSIONS)
def test_loads_fall_as_repetitions_rise_and_begin_with_the_heaviest(
    session: LoggedSession,
) -> None:
    for exercise in session_metrics(session).exercises:
        loads = list(exercise.loads_kg_by_reps)
        assert loads == sorted(loads, reverse=True)
        assert len(loads) <= MOST_LOADED_REPS
        assert all(0 < load <= (exercise.best.heaviest_load_kg or 0) for load in loads)


@given(SESSIONS)
def test_the_sets_without_assistance_come_in_order_and_begin_with_the_best(
    session: LoggedSession,
) -> None:
    for exercise in session_metrics(session).exercises:
        sets = list(exercise.unaided_sets)
        assert sets == sorted(sets, reverse=True)
        assert len(sets) <= min(10, exercise.set_count)
        best = exercise.best.most_reps or exercise.best.longest_hold_seconds
        assert not sets or best is not None
        assert not sets or sets[0] <= (best or 0)


@given(SESSIONS, st.randoms(use_true_random=False))
def test_no_order_matters(session: LoggedSession, random: object) -> None:
    shuffled = list(session.performances)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    shuffled = [of(p.exercise, *reversed(p.sets)) for p in shuffled]
    turned = session_metrics(replace(session, performances=shuffled))
    assert replace(turned, exercises=[]) == replace(session_metrics(session), exercises=[])


@given(SESSIONS)
def test_a_session_is_the_sum_of_its_exercises(session: LoggedSession) -> None:
    metrics = session_metrics(session)
    for name in ("reps", "hold_seconds", "volume_load_kg", "impulse_kg_seconds", "effective_reps"):
        whole = getattr(metrics.volume, name)
        parts = [getattr(exercise.volume, name) for exercise in metrics.exercises]
        assert whole.amount == pytest.approx(sum(part.amount for part in parts))
        assert whole.known == sum(part.known for part in parts)
        assert whole.of == sum(part.of for part in parts)


@given(SESSIONS)
def test_every_effective_rep_belongs_to_one_category(session: LoggedSession) -> None:
    metrics = session_metrics(session)
    parts = (
        metrics.skill_effective_reps,
        metrics.strength_effective_reps,
        metrics.core_effective_reps,
    )
    assert sum(part.of for part in parts) == metrics.volume.effective_reps.of
    assert sum(p.amount for p in parts) == pytest.approx(metrics.volume.effective_reps.amount)


@given(SESSIONS)
def test_numbers_stay_in_their_ranges(session: LoggedSession) -> None:
    metrics = session_metrics(session)
    assert metrics.intensity is None or 0 <= metrics.intensity <= 100
    assert metrics.load_au is None or metrics.load_au >= 0
    assert (metrics.intensity is None) == (metrics.intensity_basis is None)
    for value in vars_of(metrics):
        assert value is None or value >= 0


def vars_of(metrics: SessionMetrics) -> list[float | None]:
    volume = metrics.volume
    return [
        volume.volume_load_kg.value,
        volume.external_volume_load_kg.value,
        volume.impulse_kg_seconds.value,
        volume.effective_reps.value,
        metrics.volume_load_kg_per_minute,
    ]


@given(st.lists(st.integers(1, 8), min_size=2, max_size=5, unique=True))
def test_more_reps_at_one_load_mean_a_higher_one_rep_max(counts: list[int]) -> None:
    estimates = [one_rep_max_kg(80, reps, 0) for reps in sorted(counts)]
    for lower, higher in pairwise(estimates):
        assert lower is not None
        assert higher is not None
        assert lower < higher
