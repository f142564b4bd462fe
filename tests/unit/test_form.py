"""Form analysis: the goldens of its formulas, and what must hold of any frames."""

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import cos, inf, nan, pi
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import form_picture, poses
from tests.poses import Figure, frames, swings, wobbling
from training_service.domain.form.analyzer import (
    Event,
    FormAnalyzer,
    Frame,
    Gap,
    GapReason,
    Result,
    Setup,
)
from training_service.domain.form.errors import FrameError
from training_service.domain.form.holds import (
    Hold,
    HoldChannels,
    HoldDetector,
    HoldStarted,
    LineBand,
    line_band,
    stability_score,
)
from training_service.domain.form.movements import Movement, View
from training_service.domain.form.reps import (
    FaultKind,
    Judgement,
    Rep,
    RepChannels,
    RepCounted,
    RepCounter,
    RepDiscarded,
    Verdict,
    judge,
)
from training_service.domain.form.signal import MedianOfThree, Sample, Spread
from training_service.domain.form.skeleton import Keypoint, Layout, Side, angle, middle

# The goldens.


def test_normalized_coordinates_are_scaled_before_an_angle_is_taken() -> None:
    points = [(0.4, 0.3), (0.5, 0.5), (0.6, 0.5)]
    assert angle(*((x * 1920, y * 1080) for x, y in points)) == pytest.approx(131.63353933657018)
    # What comes of forgetting it.
    assert angle(*points) == pytest.approx(116.56505117707799)
    assert angle((0, 1), (0, 0), (1, 0)) == pytest.approx(90)


def test_no_angle_is_made_of_points_that_are_not_seen_or_not_apart() -> None:
    assert angle((0, 0), (0, 0), (1, 0)) is None
    assert angle((0, 1), (0, 0), (0, 0)) is None
    assert angle(None, (0, 0), (1, 0)) is None


def counted(angles: Iterable[float], seconds: float = 0.1) -> list[Rep]:
    """Returns the repetitions in angles at steps of a time, by the limits of a push-up."""
    counter, found = RepCounter(), []
    for k, theta in enumerate(angles):
        sample = Sample(k * seconds, RepChannels(theta, 90 - theta, theta - 160), 1.0)
        found += counter.add(sample)
    found += counter.finish()
    return [result for result in found if isinstance(result, Rep)]


def cosine(middle: float, half: float) -> list[float]:
    return [middle + half * cos(2 * pi * k / 20) for k in range(101)]


JITTER = [170, 165, 152, 148, 151, 147, 120, 99, 101, 98, 102, 97, 130, 149, 151, 149, 152, 170]


@pytest.mark.parametrize(
    ("angles", "verdicts", "depth", "lockout"),
    [
        (cosine(120, 50), [Verdict.VALID] * 5, Judgement.MET, Judgement.MET),
        (cosine(120, 35), [Verdict.FAILED] * 5, Judgement.MET, Judgement.MISSED),
        (cosine(130, 34), [Verdict.FAILED] * 5, Judgement.MISSED, Judgement.MET_NARROWLY),
        (cosine(140, 25), [Verdict.PARTIAL] * 5, Judgement.MISSED, None),
        (JITTER, [Verdict.FAILED], Judgement.MISSED, Judgement.MET),
    ],
)
def test_repetitions_of_the_goldens(
    angles: list[float],
    verdicts: list[Verdict],
    depth: Judgement,
    lockout: Judgement | None,
) -> None:
    reps = counted(angles)
    assert [rep.verdict for rep in reps] == verdicts
    assert {(rep.depth, rep.lockout) for rep in reps} == {(depth, lockout)}


@pytest.mark.parametrize(("gap", "seconds"), [(2, [8.1]), (5, [4.9, 2.9])])
def test_holds_of_the_goldens(gap: int, seconds: list[float]) -> None:
    detector, found = HoldDetector(), []
    for k in range(80 + gap):
        position = -1.0 if 50 <= k < 50 + gap else 1.0
        found += detector.add(Sample(k / 10, HoldChannels(position, 0, 0, 0, 0, 0, 1), 1.0))
    found += detector.finish()
    holds = [hold for hold in found if isinstance(hold, Hold)]
    assert [hold.seconds for hold in holds] == pytest.approx(seconds)
    assert [hold.number for hold in holds] == list(range(1, len(seconds) + 1))


@pytest.mark.parametrize(
    ("sway", "score"), [(0, 100), (0.01, 100), (0.055, 50), (0.1, 0), (0.3, 0)]
)
def test_stability_is_scored_between_still_and_restless(sway: float, score: float) -> None:
    assert stability_score(sway) == pytest.approx(score)


def test_bands_of_the_line() -> None:
    bands = [line_band(degrees) for degrees in (0, 15, 15.5, 30, 31, 45, 46)]
    assert bands == [
        *[LineBand.UP_TO_15] * 2,
        *[LineBand.UP_TO_30] * 2,
        *[LineBand.UP_TO_45] * 2,
        LineBand.ABOVE_45,
    ]


# Repetitions


@pytest.mark.parametrize(
    ("excess", "judgement"),
    [
        (None, Judgement.UNSEEN),
        (-5.1, Judgement.MISSED),
        (-5.0, Judgement.MISSED),
        (-4.9, Judgement.MISSED_NARROWLY),
        (0.0, Judgement.MET_NARROWLY),
        (4.9, Judgement.MET_NARROWLY),
        (5.0, Judgement.MET),
    ],
)
def test_within_5_degrees_of_a_limit_nothing_is_certain(
    excess: float | None, judgement: Judgement
) -> None:
    assert judge(excess) is judgement


@pytest.mark.parametrize(
    ("lowest", "highest", "verdict"),
    [
        (85.0, 175.0, Verdict.VALID),
        (92.0, 175.0, Verdict.BORDERLINE),
        (85.0, 157.0, Verdict.BORDERLINE),
        (92.0, 154.0, Verdict.FAILED),
        (96.0, 157.0, Verdict.FAILED),
    ],
)
def test_a_repetition_is_never_failed_by_less_than_5_degrees(
    lowest: float, highest: float, verdict: Verdict
) -> None:
    [rep] = counted(swings(1, lowest, highest))
    assert rep.verdict is verdict


def results(analyzed: list[Event], kind: type) -> list[Result]:
    return [event.result for event in analyzed if isinstance(event.result, kind)]


@pytest.mark.parametrize(("seconds", "count"), [(0.3, 0), (0.8, 3), (14.0, 3), (60.0, 0)])
def test_what_is_too_quick_or_too_slow_is_not_counted(seconds: float, count: int) -> None:
    sent = frames(map(poses.push_up, swings(3, 60, 175, seconds, 60)), 60)
    analyzer = analyzer_of(Movement.PUSH_UP)
    events = run(analyzer, sent)
    assert len(results(events, RepCounted)) == count
    assert len(results(events, RepDiscarded)) == analyzer.summary.discarded == 3 - count


def test_counting_begins_when_the_joint_is_first_extended() -> None:
    descending = [*swings(1, 70, 175)][30:]
    assert counted(descending) == []
    assert len(counted([*descending, *swings(2, 70, 175)])) == 2


@given(
    start=st.floats(101, 149),
    noise=st.lists(st.floats(-24, 24), min_size=2, max_size=300),
)
def test_noise_between_the_thresholds_is_never_counted(start: float, noise: list[float]) -> None:
    # From either side: what begins extended and never reaches the other threshold.
    angles = [max(100.5, min(149.5, start + n)) for n in noise]
    assert counted(angles) == []
    assert all(rep.verdict is Verdict.PARTIAL for rep in counted([170, *angles, 170]))
    assert len(counted([170, 80, *angles, 80, *angles, 170])) <= 1


@given(st.lists(st.floats(-4.9, 4.9), min_size=121, max_size=121))
def test_noise_upon_repetitions_changes_no_count(noise: list[float]) -> None:
    angles = [a + n for a, n in zip(swings(4, 70, 175, 1.0), noise, strict=True)]
    reps = counted(angles, 1 / 30)
    assert [rep.number for rep in reps] == [1, 2, 3, 4]


# Movements

DYNAMIC: dict[Movement, tuple[Callable[[float], Figure], float, float]] = {
    Movement.PUSH_UP: (poses.push_up, 70, 175),
    Movement.PULL_UP: (poses.pull_up, 30, 175),
    Movement.DIP: (poses.dip, 74, 175),
    Movement.SQUAT: (poses.squat, 45, 178),
}
STATIC: dict[Movement, Callable[[], Figure]] = {
    Movement.HANDSTAND: poses.handstand,
    Movement.L_SIT: poses.l_sit,
    Movement.FRONT_LEVER: poses.lever,
    Movement.BACK_LEVER: poses.lever,
    Movement.PLANCHE: poses.planche,
}


def figures_of(movement: Movement) -> list[Figure]:
    """Returns five good repetitions, or a hold of five seconds."""
    if movement in DYNAMIC:
        pose, lowest, highest = DYNAMIC[movement]
        return [pose(a) for a in swings(5, lowest, highest)]
    return wobbling(STATIC[movement](), 5, 0.02)


def analyzer_of(movement: Movement, **options: object) -> FormAnalyzer:
    setup = {"movement": movement, "layout": Layout.COCO_17, **options}
    return FormAnalyzer(Setup(**setup))  # type: ignore[arg-type]


def run(analyzer: FormAnalyzer, sent: Iterable[Frame]) -> list[Event]:
    events = [event for frame in sent for event in analyzer.add(frame)]
    return [*events, *analyzer.finish()]


def analyze(movement: Movement, figures: Iterable[Figure], **options: object) -> list[Event]:
    return run(analyzer_of(movement, **options), frames(figures))


def reps_of(movement: Movement, figures: Iterable[Figure], **options: object) -> list[Rep]:
    return results(analyze(movement, figures, **options), Rep)  # type: ignore[return-value]


def holds_of(movement: Movement, figures: Iterable[Figure], **options: object) -> list[Hold]:
    return results(analyze(movement, figures, **options), Hold)  # type: ignore[return-value]


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("movement", DYNAMIC)
def test_good_repetitions_are_valid(movement: Movement, layout: Layout) -> None:
    analyzer = analyzer_of(movement, layout=layout)
    events = run(analyzer, frames(figures_of(movement), layout=layout))
    reps = results(events, Rep)
    assert [rep.verdict for rep in reps] == [Verdict.VALID] * 5  # type: ignore[union-attr]
    assert [rep.faults for rep in reps] == [()] * 5  # type: ignore[union-attr]
    assert [c.number for c in results(events, RepCounted)] == [1, 2, 3, 4, 5]  # type: ignore[union-attr]
    lowest, highest = DYNAMIC[movement][1:]
    assert analyzer.summary.depth.mean == pytest.approx(lowest, abs=0.5)
    assert analyzer.summary.lockout.mean == pytest.approx(highest, abs=0.5)
    assert analyzer.summary.confidence.mean == pytest.approx(poses.NEAR)


@pytest.mark.parametrize("rate", [10, 24, 60])
@pytest.mark.parametrize("movement", DYNAMIC)
def test_noise_of_an_estimator_changes_no_count(movement: Movement, rate: float) -> None:
    random = Random(7)
    pose, lowest, highest = DYNAMIC[movement]
    sent = []
    for frame in frames(map(pose, swings(8, lowest, highest, 2.5, rate)), rate):
        # A body of 260 pixels, each point of it off by about as much as one of 2 m by 1.5 cm.
        noisy = [
            k._replace(x=k.x + random.gauss(0, 2), y=k.y + random.gauss(0, 2))
            for k in frame.keypoints
        ]
        sent.append(Frame(frame.seconds, noisy))
    reps = results(run(analyzer_of(movement), sent), Rep)
    assert [rep.number for rep in reps] == list(range(1, 9))  # type: ignore[union-attr]
    assert Verdict.FAILED not in {rep.verdict for rep in reps}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("movement", "lowest", "highest", "verdict"),
    [
        (Movement.PUSH_UP, 98, 175, Verdict.FAILED),
        (Movement.PUSH_UP, 93, 175, Verdict.BORDERLINE),
        (Movement.PUSH_UP, 70, 153, Verdict.FAILED),
        (Movement.PUSH_UP, 120, 175, Verdict.PARTIAL),
        # The elbow is bent enough, and the mouth is below the hands: it is level with them at 39°.
        (Movement.PULL_UP, 80, 175, Verdict.FAILED),
        (Movement.PULL_UP, 43, 175, Verdict.BORDERLINE),
        (Movement.PULL_UP, 38, 175, Verdict.VALID),
        (Movement.PULL_UP, 30, 153, Verdict.FAILED),
        # The upper arm is level when the elbow is at 90°: both say the same.
        (Movement.DIP, 99.5, 175, Verdict.FAILED),
        (Movement.DIP, 95, 175, Verdict.BORDERLINE),
        (Movement.DIP, 88, 175, Verdict.VALID),
        # The thigh is level at 60°.
        (Movement.SQUAT, 75, 178, Verdict.FAILED),
        (Movement.SQUAT, 63, 178, Verdict.BORDERLINE),
        (Movement.SQUAT, 55, 178, Verdict.VALID),
        (Movement.SQUAT, 55, 158, Verdict.FAILED),
        (Movement.SQUAT, 120, 178, Verdict.PARTIAL),
    ],
)
def test_what_a_repetition_is_worth(
    movement: Movement, lowest: float, highest: float, verdict: Verdict
) -> None:
    reps = reps_of(movement, map(DYNAMIC[movement][0], swings(3, lowest, highest)))
    assert [rep.verdict for rep in reps] == [verdict] * 3


def test_a_pull_up_whose_mouth_is_not_seen_at_the_top_is_not_failed() -> None:
    sent = []
    for frame in frames(figures_of(Movement.PULL_UP)):
        face, *rest = frame.keypoints
        sent.append(Frame(frame.seconds, [face._replace(confidence=0.2), *rest]))
    reps = results(run(analyzer_of(Movement.PULL_UP), sent), Rep)
    assert [(r.verdict, r.depth) for r in reps] == [(Verdict.BORDERLINE, Judgement.UNSEEN)] * 5  # type: ignore[union-attr]


def test_an_elbow_that_is_not_bent_enough_tells_by_itself() -> None:
    sent = []
    for frame in frames(map(poses.pull_up, swings(2, 98, 175))):
        face, *rest = frame.keypoints
        sent.append(Frame(frame.seconds, [face._replace(confidence=0.2), *rest]))
    reps = results(run(analyzer_of(Movement.PULL_UP), sent), Rep)
    assert [r.depth for r in reps] == [Judgement.MISSED] * 2  # type: ignore[union-attr]


def faults(reps: Sequence[Rep]) -> set[tuple[FaultKind, bool]]:
    return {(fault.kind, fault.is_borderline) for rep in reps for fault in rep.faults}


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        (0, set()),
        (19, set()),
        (-19, set()),
        (23, {(FaultKind.PIKE, True)}),
        (30, {(FaultKind.PIKE, False)}),
        (-23, {(FaultKind.SAG, True)}),
        (-30, {(FaultKind.SAG, False)}),
    ],
)
def test_hips_above_the_line_pike_and_below_it_sag(
    bend: float, expected: set[tuple[FaultKind, bool]]
) -> None:
    reps = reps_of(Movement.PUSH_UP, [poses.push_up(a, bend) for a in swings(2, 70, 175)])
    assert faults(reps) == expected
    # Advice: the repetition counts all the same.
    assert {rep.verdict for rep in reps} == {Verdict.VALID}


@pytest.mark.parametrize(("degrees", "kips"), [(2, False), (20, True)])
def test_hips_that_swing_kip(degrees: float, kips: bool) -> None:
    figures = [poses.pull_up(a, degrees * cos(k / 5)) for k, a in enumerate(swings(3, 30, 175))]
    assert faults(reps_of(Movement.PULL_UP, figures)) == (
        {(FaultKind.KIP, False)} if kips else set()
    )


@pytest.mark.parametrize(("lean", "leans"), [(45, set()), (52, {True}), (60, {False})])
def test_a_trunk_that_leans(lean: float, leans: set[bool]) -> None:
    figures = [poses.squat(a, lean * (178 - a) / 128) for a in swings(2, 50, 178)]
    assert faults(reps_of(Movement.SQUAT, figures)) == {(FaultKind.TRUNK_LEAN, b) for b in leans}


@pytest.mark.parametrize(("difference", "is_uneven"), [(10, False), (25, True)])
def test_elbows_that_differ(difference: float, is_uneven: bool) -> None:
    sent = [
        Frame(k / 30, poses.keypoints(poses.dip(a), far=poses.dip(a - difference)))
        for k, a in enumerate(swings(2, 75, 175))
    ]
    reps = results(run(analyzer_of(Movement.DIP), sent), Rep)
    assert bool(faults(reps)) is is_uneven  # type: ignore[arg-type]


def from_front(knee: float, inside: float) -> list[Keypoint]:
    """Returns a squat from the front: the knees are inside the ankles when bent."""
    bent = (180 - knee) / 180
    height = poses.SHANK + poses.THIGH * cos((180 - knee) * pi / 180)
    sides = []
    for outward in (-1, 1):
        ankle = (400 + 25 * outward, 400.0)
        knee_at = (400 + (25 - inside * bent) * outward, 400 - poses.SHANK)
        hip, shoulder = (400 + 20 * outward, 400 - height), (400 + 40 * outward, 300 - height)
        elbow, wrist = (shoulder[0], shoulder[1] + 50), (shoulder[0], shoulder[1] + 100)
        sides.append(Figure((400, 270 - height), shoulder, elbow, wrist, hip, knee_at, ankle))
    return poses.keypoints(sides[0], far=sides[1])


@pytest.mark.parametrize(("inside", "expected"), [(0, set()), (40, {(FaultKind.KNEES_IN, False)})])
def test_knees_are_seen_from_the_front_and_no_lockout(
    inside: float, expected: set[tuple[FaultKind, bool]]
) -> None:
    sent = [Frame(k / 30, from_front(a, inside)) for k, a in enumerate(swings(3, 70, 178))]
    reps = results(run(analyzer_of(Movement.SQUAT, view=View.FRONT), sent), Rep)
    assert faults(reps) == expected  # type: ignore[arg-type]
    assert [(r.verdict, r.depth, r.lockout) for r in reps] == [  # type: ignore[union-attr]
        (Verdict.BORDERLINE, Judgement.MET, Judgement.UNSEEN)
    ] * 3


# Holds


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("movement", STATIC)
def test_a_hold_lasts_and_sways_as_it_does(movement: Movement, layout: Layout) -> None:
    figures = wobbling(STATIC[movement](), 5, 0.055)
    sent = frames(figures, layout=layout)
    events = run(analyzer_of(movement, layout=layout), sent)
    [started] = results(events, HoldStarted)
    [hold] = results(events, Hold)
    assert isinstance(hold, Hold)
    assert started == HoldStarted(1, 0.0)
    assert hold.seconds == pytest.approx(5)
    # The median takes the tips off so quick a sway.
    assert hold.sway == pytest.approx(0.055, rel=0.05)
    assert hold.stability_score == pytest.approx(50, abs=4)
    assert hold.line_error_degrees == pytest.approx(0, abs=1e-6)
    assert hold.line_band is LineBand.UP_TO_15


@pytest.mark.parametrize(
    ("movement", "figure", "is_held"),
    [
        (Movement.PLANCHE, poses.planche(14), True),
        (Movement.PLANCHE, poses.planche(16), False),
        (Movement.FRONT_LEVER, poses.lever(-14), True),
        (Movement.FRONT_LEVER, poses.lever(-16), False),
        # Which way up a level body is held.
        (Movement.FRONT_LEVER, poses.planche(), False),
        (Movement.BACK_LEVER, poses.planche(), False),
        (Movement.PLANCHE, poses.lever(), False),
        (Movement.HANDSTAND, poses.handstand(14), True),
        (Movement.HANDSTAND, poses.handstand(16), False),
        # Straight, arms overhead, and no handstand: who hangs.
        (Movement.HANDSTAND, poses.pull_up(179), False),
        (Movement.L_SIT, poses.l_sit(19), True),
        (Movement.L_SIT, poses.l_sit(-19), True),
        (Movement.L_SIT, poses.l_sit(21), False),
        (Movement.L_SIT, poses.l_sit(-21), False),
    ],
)
def test_what_is_in_position(movement: Movement, figure: Figure, is_held: bool) -> None:
    assert len(holds_of(movement, [figure] * 60)) == is_held


@pytest.mark.parametrize(
    ("movement", "figure", "wider"),
    [
        (Movement.PLANCHE, poses.planche(25), 10),
        (Movement.HANDSTAND, poses.handstand(25), 10),
        (Movement.L_SIT, poses.l_sit(25), 5),
    ],
)
def test_a_learner_is_given_more_tolerance(
    movement: Movement, figure: Figure, wider: float
) -> None:
    [hold] = holds_of(movement, [figure] * 60, wider_degrees=wider)
    assert hold.line_error_degrees == pytest.approx(25)
    assert hold.line_band is LineBand.UP_TO_30
    assert not holds_of(movement, [figure] * 60, wider_degrees=wider - 1)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_far_hip_that_comes_and_goes_is_no_sway(every: int) -> None:
    sent = []
    for k, frame in enumerate(frames([poses.planche()] * 90)):
        seen = list(frame.keypoints)
        if k % every == 0:
            seen[12] = seen[12]._replace(confidence=0.3)
        # Far enough apart for a change between them to be seen.
        seen[12] = seen[12]._replace(x=seen[12].x + 20)
        sent.append(Frame(frame.seconds, seen))
    [hold] = results(run(analyzer_of(Movement.PLANCHE), sent), Hold)
    assert hold.stability_score == pytest.approx(100)  # type: ignore[union-attr]


def test_a_hold_of_less_than_a_second_is_none() -> None:
    assert not holds_of(Movement.PLANCHE, [poses.planche()] * 30)  # 29 steps between them
    [hold] = holds_of(Movement.PLANCHE, [poses.planche()] * 31)
    assert hold.seconds == pytest.approx(1)


# Frames as they come


@given(
    movement=st.sampled_from(Movement),
    scale=st.floats(0.05, 20),
    dx=st.floats(-1e4, 1e4),
    dy=st.floats(-1e4, 1e4),
    is_mirrored=st.booleans(),
)
@settings(max_examples=30)
def test_size_place_and_direction_in_the_picture_do_not_matter(
    movement: Movement, scale: float, dx: float, dy: float, is_mirrored: bool
) -> None:
    turn = -1 if is_mirrored else 1
    plain = frames(figures_of(movement))
    changed = [
        Frame(
            f.seconds,
            [k._replace(x=k.x * scale * turn + dx, y=k.y * scale + dy) for k in f.keypoints],
        )
        for f in plain
    ]
    expected, found = run(analyzer_of(movement), plain), run(analyzer_of(movement), changed)
    assert len(found) == len(expected) > 0
    for a, b in zip(expected, found, strict=True):
        assert_alike(a.result, b.result)


def assert_alike(a: Result, b: Result) -> None:
    assert type(a) is type(b)
    for name in a.__slots__:
        before, after = getattr(a, name), getattr(b, name)
        is_number = isinstance(before, float)
        assert after == (pytest.approx(before, abs=1e-4) if is_number else before)


@given(
    movement=st.sampled_from(Movement),
    copies=st.lists(st.integers(0, 3), min_size=20, max_size=20),
)
@settings(max_examples=30)
def test_frames_that_come_again_change_nothing(movement: Movement, copies: list[int]) -> None:
    plain = frames(figures_of(movement))
    repeated = [f for k, f in enumerate(plain) for _ in range(1 + copies[k % len(copies)])]
    analyzer = analyzer_of(movement)
    assert run(analyzer, repeated) == run(analyzer_of(movement), plain)
    assert analyzer.summary.frames.duplicate == len(repeated) - len(plain)


@given(
    movement=st.sampled_from(Movement),
    late=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 25)), max_size=20),
)
@settings(max_examples=30)
def test_frames_that_come_late_change_nothing(
    movement: Movement, late: list[tuple[int, int]]
) -> None:
    plain = frames(figures_of(movement))
    sent = list(plain)
    # From behind, so that places stay what they are.
    for place, steps in sorted(late, reverse=True):
        sent.insert(place + 1, plain[max(0, place - steps)])
    analyzer = analyzer_of(movement)
    assert run(analyzer, sent) == run(analyzer_of(movement), plain)
    assert analyzer.summary.frames.late == len(late)


def test_a_frame_of_another_clock_is_refused() -> None:
    analyzer = analyzer_of(Movement.PUSH_UP)
    first, second = frames([poses.push_up(170)] * 2)
    analyzer.add(first._replace(seconds=10))
    assert analyzer.add(second._replace(seconds=9)) == []
    with pytest.raises(FrameError, match=r"^time_seconds: lies 1\.500 s before a frame") as raised:
        analyzer.add(second._replace(seconds=8.5))
    assert raised.value.field == "time_seconds"
    assert analyzer.index == 2


def test_frames_without_a_time_follow_the_frame_rate() -> None:
    timeless = [f._replace(seconds=None) for f in frames(figures_of(Movement.DIP))]
    found = run(analyzer_of(Movement.DIP, frame_rate=30), timeless)
    assert found == run(analyzer_of(Movement.DIP), frames(figures_of(Movement.DIP)))
    with pytest.raises(FrameError, match="when the header has no frame rate"):
        analyzer_of(Movement.DIP).add(timeless[0])


def unseen(frame: Frame, reason: GapReason = GapReason.NOT_SEEN) -> Frame:
    if reason is GapReason.WRONG_VIEW:
        turned = list(frame.keypoints)
        turned[6] = turned[6]._replace(x=turned[5].x + 70)
        return Frame(frame.seconds, turned)
    return Frame(frame.seconds, [k._replace(confidence=0.49) for k in frame.keypoints])


@given(st.sets(st.integers(1, 299)), st.booleans())
@settings(max_examples=50)
def test_short_gaps_change_neither_count_nor_hold(missing: set[int], is_dropped: bool) -> None:
    # Up to 7 in a row are 0.25 s or less at 30 frames a second.
    gone: set[int] = set()
    for k in sorted(missing):
        if not set(range(k - 7, k)) <= gone:
            gone.add(k)
    for movement in (Movement.PUSH_UP, Movement.PLANCHE):
        plain = frames(figures_of(movement))
        gone &= set(range(1, len(plain) - 1))
        sent = [unseen(f) if k in gone else f for k, f in enumerate(plain)]
        if is_dropped:
            sent = [f for k, f in enumerate(plain) if k not in gone]
        events = run(analyzer_of(movement), sent)
        assert not results(events, Gap)
        if movement is Movement.PLANCHE:
            [hold] = results(events, Hold)
            assert hold.seconds == pytest.approx(5)  # type: ignore[union-attr]
        else:
            # Six frames of a descent must be among those that are left for its extremes to be seen.
            assert len(results(events, RepCounted)) == 5


@pytest.mark.parametrize("reason", [GapReason.NOT_SEEN, GapReason.WRONG_VIEW, GapReason.NO_FRAMES])
def test_a_longer_gap_is_told_once_and_holds_apart(reason: GapReason) -> None:
    plain = frames(map(poses.push_up, swings(4, 70, 175)))
    gone = range(80, 90)  # from the middle of the second descent
    if reason is GapReason.NO_FRAMES:
        sent = [f for k, f in enumerate(plain) if k not in gone]
    else:
        sent = [unseen(f, reason) if k in gone else f for k, f in enumerate(plain)]
    analyzer = analyzer_of(Movement.PUSH_UP)
    events = run(analyzer, sent)
    assert results(events, Gap) == [Gap(plain[79].seconds, reason)]
    # The repetition under way is given up, and the others keep their numbers in a row.
    assert [r.number for r in results(events, Rep)] == [1, 2, 3]  # type: ignore[union-attr]
    counts = analyzer.summary.frames
    expected = {GapReason.NOT_SEEN: (10, 0), GapReason.WRONG_VIEW: (0, 10)}.get(reason, (0, 0))
    assert (counts.not_seen, counts.wrong_view) == expected
    assert counts.measured == len(plain) - 10


def test_a_gap_is_told_while_it_lasts() -> None:
    # So that somebody before the camera hears of it.
    analyzer = analyzer_of(Movement.PUSH_UP)
    sent = [unseen(f) for f in frames([poses.push_up(170)] * 60)]
    found = [k for k, frame in enumerate(sent) if analyzer.add(frame)]
    assert found == [8]
    assert analyzer.finish() == []
    assert analyzer.summary.counted == 0


def test_the_side_that_is_seen_better_is_measured() -> None:
    sent = []
    for k, good in enumerate(figures_of(Movement.PUSH_UP)):
        straight = replace(good, elbow=middle(good.shoulder, good.wrist))
        seen = poses.keypoints(straight, far=good, confidences=(0.6, 0.9))
        sent.append(Frame(k / 30, seen))
    assert len(results(run(analyzer_of(Movement.PUSH_UP), sent), Rep)) == 5
    # Unless the caller says which.
    assert not results(run(analyzer_of(Movement.PUSH_UP, side=Side.LEFT), sent), Rep)


def test_the_side_does_not_change_to_and_fro() -> None:
    sent = [
        Frame(k / 30, poses.keypoints(one, confidences=(0.85, 0.8 + 0.1 * (k % 2))))
        for k, one in enumerate(figures_of(Movement.PUSH_UP))
    ]
    expected = run(analyzer_of(Movement.PUSH_UP, side=Side.LEFT), sent)
    assert run(analyzer_of(Movement.PUSH_UP), sent) == expected


@pytest.mark.parametrize(
    ("change", "field", "description"),
    [
        (lambda k: k[:16], "keypoints", "has 16 keypoints; the layout has 17 in each frame"),
        (lambda k: [], "keypoints", "has 0 keypoints"),
        (lambda k: [*k[:3], k[3]._replace(x=nan), *k[4:]], "keypoints[3].x", "finite"),
        (lambda k: [k[0]._replace(y=inf), *k[1:]], "keypoints[0].y", "finite"),
        (lambda k: [k[0]._replace(y=inf), k[1]._replace(y=-inf), *k[2:]], "keypoints[0].y", ""),
        (
            lambda k: [*k[:16], k[16]._replace(confidence=1.5)],
            "keypoints[16].confidence",
            "must be between 0 and 1",
        ),
        (
            lambda k: [*k[:16], k[16]._replace(confidence=-0.1)],
            "keypoints[16].confidence",
            "must be between 0 and 1",
        ),
    ],
)
def test_a_frame_that_is_none_is_refused(
    change: Callable[[list[Keypoint]], list[Keypoint]], field: str, description: str
) -> None:
    analyzer = analyzer_of(Movement.SQUAT)
    good, bad = frames([poses.squat(170)] * 2)
    analyzer.add(good)
    with pytest.raises(FrameError) as raised:
        analyzer.add(Frame(bad.seconds, change(list(bad.keypoints))))
    assert raised.value.field == field
    assert description in raised.value.description
    assert analyzer.index == 1


@pytest.mark.parametrize("seconds", [-0.1, nan, inf, 1e11])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    [frame] = frames([poses.squat(170)])
    with pytest.raises(FrameError, match=r"^time_seconds: must be between 0 and 1e\+10$"):
        analyzer_of(Movement.SQUAT).add(frame._replace(seconds=seconds))


def test_a_body_in_one_point_is_not_seen() -> None:
    nowhere = [Keypoint(0.5, 0.5, 1.0)] * 17
    for movement in Movement:
        analyzer = analyzer_of(movement)
        run(analyzer, [Frame(k / 30, nowhere) for k in range(60)])
        assert analyzer.summary.frames.measured == 0


@given(st.data())
@settings(max_examples=40)
def test_no_keypoints_are_a_fault(data: st.DataObject) -> None:
    number = st.floats(allow_nan=False, allow_infinity=False, width=32)
    keypoint = st.builds(Keypoint, number, number, st.floats(0, 1, width=32))
    frame = st.lists(keypoint, min_size=17, max_size=17)
    movement = data.draw(st.sampled_from(Movement))
    analyzer = analyzer_of(movement)
    run(analyzer, [Frame(k / 10, data.draw(frame)) for k in range(4)])
    assert analyzer.summary.frames.received == 4


def test_the_middle_of_three() -> None:
    median = MedianOfThree(RepChannels)
    numbers = [5.0, 9.0, 1.0, 2.0, 3.0]
    found = [median.push(Sample(k, RepChannels(n, None, n), 1.0)) for k, n in enumerate(numbers)]
    smooth = [s.channels.angle for s in [*found, median.flush()] if s]
    assert smooth == [5, 5, 2, 2, 3]
    assert all(s.channels.depth is None for s in found if s)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_mean_and_variance_of_what_is_not_kept(values: list[float]) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    mean = sum(values) / len(values)
    variance = sum((v - mean) ** 2 for v in values) / len(values)
    assert spread.mean == pytest.approx(mean, abs=1e-6)
    assert spread.variance == pytest.approx(variance, rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("movement", [Movement.PULL_UP, Movement.HANDSTAND])
def test_what_is_remembered_does_not_grow(movement: Movement) -> None:
    # A repetition, a fault, a gap or a hold leaves nothing behind but sums.
    cycle = [f.keypoints for f in frames(figures_of(movement)[:75])]
    lost = [unseen(Frame(0, k)).keypoints for k in cycle[:10]]
    analyzer, k = analyzer_of(movement), 0

    def go_on(cycles: int) -> int:
        nonlocal k
        for _ in range(cycles):
            for keypoints in [*cycle, *lost]:
                k += 1
                analyzer.add(Frame(k / 30, keypoints))
        gc.collect()
        # Other threads of this process allocate too.
        of_the_analyzer = tracemalloc.Filter(True, "*/domain/form/*")
        traces = tracemalloc.take_snapshot().filter_traces([of_the_analyzer])
        return sum(one.size for one in traces.statistics("filename"))

    tracemalloc.start()
    try:
        go_on(20)
        before = go_on(1)
        after = go_on(150)
    finally:
        tracemalloc.stop()
    assert analyzer.summary.frames.received > 14_000
    # Less than a byte for every ten frames.
    assert after - before < 1_400


def test_the_picture_is_that_of_the_set() -> None:
    """docs/form.svg is what `python -m tests.form_picture` draws."""
    verdicts = ["VALID", "VALID", "VALID", "PARTIAL", "BORDERLINE", "FAILED"]
    assert [rep.verdict for rep in form_picture.judged()] == verdicts
    assert form_picture.draw() == form_picture.PICTURE.read_text(encoding="utf-8")
