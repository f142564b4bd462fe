"""A year of a simulated athlete by each policy of progression, and the picture of it.

`python -m tests.progression_years` draws docs/progression.svg anew.

The athlete is a means to see that rules behave, not a model of anybody. What they can do grows with
each session by a share of what is missing to their limit, and is lost after ten days without
training; each day is a little better or worse. Epley's formula says how many repetitions of a load
that leaves.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from training_service.catalogue import load_catalogue
from training_service.charts.data import Theme
from training_service.charts.themes import PALETTES, Palette, config
from training_service.charts.worker import VEGA_LITE_VERSION, described
from training_service.domain.exercise import MovementKind, exercise_id
from training_service.domain.progression import (
    Context,
    DeloadCondition,
    Event,
    Intent,
    Performance,
    Prescription,
    beginning,
    prescription,
    step,
)
from training_service.domain.progression_policy import (
    AmrapProgression,
    DoneSet,
    DoubleProgression,
    HoldTimeProgression,
    LinearProgression,
    Loading,
    PercentWave,
    Policy,
    RepSumProgression,
    RirAutoregulation,
    Rule,
    SetTarget,
    StepLoading,
    VariationLadder,
    WaveSet,
)
from training_service.domain.progression_track import (
    EventKind,
    Goal,
    State,
    Track,
    TrackExercise,
    graph_track,
    ladder_track,
)
from training_service.domain.skill import usual_criterion

PICTURE = Path(__file__).parents[1] / "docs" / "progression.svg"
START = date(2025, 1, 6)
WEEKS = 52
TRAINING_DAYS = (0, 2, 4)
"""Monday, Wednesday, Friday."""

ILLNESS = range(112, 126)
"""Days of the year: two weeks, with one session that is tried all the same."""
HOLIDAY = range(203, 224)
"""Three weeks without training."""
TECHNIQUE = range(266, 273)
TIRED = range(308, 312)
"""Signs that ask for a deload out of turn."""

BODY_MASS_KG = 75.0
EASIER_KG = 65.0
DAY_TO_DAY = 0.015
"""Standard deviation of a day's form, as a share."""
SET_FATIGUE = 0.985
"""What is left of the strength in each set after the one before."""
LAST_RESERVE_RPE = 5.0
"""Nobody rates a set lower."""
REST_DAYS = 10
LOSS_A_DAY = 0.002
"""Of strength, beyond so many days without training."""


@dataclass(slots=True)
class Athlete:
    """What somebody can do. Strength is the most that they move once, body included, in kilograms;
    of an exercise without a load, the load that one repetition of it would be."""

    strength_kg: float = 105.0
    limit_kg: float = 150.0
    """Where training leads to in the end."""
    gain: float = 0.012
    """Share of what is missing to the limit that a session brings."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    last_day: int = 0

    def rest_until(self, day: int) -> None:
        """Loses what is lost by not training."""
        idle = day - self.last_day - REST_DAYS
        if idle > 0:
            self.strength_kg *= (1 - LOSS_A_DAY) ** idle

    def train(self, day: int) -> None:
        """Gains what a session brings."""
        self.strength_kg += self.gain * (self.limit_kg - self.strength_kg)
        self.last_day = day

    def form(self) -> float:
        """Returns a day's form, 1 is as usual."""
        return 1 + self.chance.gauss(0, DAY_TO_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A rule to be tried for a year."""

    name: str
    unit: str
    """What the picture shows of it: kg, repetitions or seconds."""
    rule: Rule
    weights_kg: dict[str, float]
    """What one repetition of each exercise of the track weighs, without load; three seconds of a
    hold are as much as a repetition."""

    reserve: float = 0.0
    """Repetitions that the athlete leaves in each set, within the range."""

    def weight_kg(self, exercise: UUID) -> float:
        """Returns what one repetition of an exercise weighs; of one that is not named, which only a
        way back leads to, little."""
        named = {_id(slug): kg for slug, kg in self.weights_kg.items()}
        return named.get(exercise, EASIER_KG)


@dataclass(frozen=True, slots=True)
class Session:
    """One training day."""

    day: date
    prescribed: Prescription
    performance: Performance
    events: Sequence[Event]
    state: State
    """After it."""


def _id(slug: str) -> UUID:
    return exercise_id(slug)


EXERCISES = {
    one.id: TrackExercise(
        one.id,
        one.display_name,
        one.movement_kind,
        one.difficulty,
        usual_criterion(one.movement_kind, one.difficulty, unilateral=one.unilateral),
        one.easier_ids,
    )
    for one in load_catalogue()
}
WEIGHTED = _id("weighted-pull-up")
LOADING = Loading(start_kg=5, plate_step_kg=2.5)
WAVE = PercentWave(
    sessions=[
        [WaveSet(65, 5), WaveSet(75, 5), WaveSet(85, 5, is_amrap=True)],
        [WaveSet(70, 3), WaveSet(80, 3), WaveSet(90, 3, is_amrap=True)],
        [WaveSet(75, 5), WaveSet(85, 3), WaveSet(95, 1, is_amrap=True)],
    ]
)
USUAL_GOAL = Goal(5, 8)
ROWS = ("incline-row", "horizontal-row", "wide-row", "archer-row")
"""A ladder; each step weighs more."""


def _rule(
    policy: Policy,
    *,
    slug: str = "weighted-pull-up",
    sets: int = 3,
    goal: Goal = USUAL_GOAL,
    loading: Loading | None = None,
    deload_weeks: int | None = None,
) -> Rule:
    return Rule(
        policy=policy,
        exercise_id=_id(slug),
        start_date=START,
        set_count=sets,
        goal=goal,
        loading=loading,
        auto_apply=True,
        deload_weeks=deload_weeks,
    )


PULL_UPS = {"pull-up": BODY_MASS_KG, "weighted-pull-up": BODY_MASS_KG}
PLANS = (
    Plan(
        name="Double progression",
        unit="kg",
        rule=_rule(DoubleProgression(), loading=LOADING, deload_weeks=6),
        weights_kg=PULL_UPS,
    ),
    Plan(
        name="Linear",
        unit="kg",
        rule=_rule(LinearProgression(), goal=Goal(5, 5), loading=LOADING),
        weights_kg=PULL_UPS,
    ),
    Plan(
        name="RIR",
        unit="kg",
        rule=_rule(RirAutoregulation(target_rir=2), loading=LOADING),
        weights_kg=PULL_UPS,
        reserve=2,
    ),
    Plan(
        name="Percent wave",
        unit="kg",
        rule=_rule(WAVE, goal=Goal(1, 5), loading=LOADING._replace(start_kg=15)),
        weights_kg=PULL_UPS,
    ),
    Plan(
        name="AMRAP",
        unit="kg",
        rule=_rule(AmrapProgression(), loading=LOADING),
        weights_kg=PULL_UPS,
    ),
    Plan(
        name="Rep sum",
        unit="kg",
        rule=_rule(
            RepSumProgression(),
            slug="pull-up",
            sets=4,
            goal=Goal(20, 32),
            loading=LOADING._replace(start_kg=0),
        ),
        weights_kg=PULL_UPS,
    ),
    Plan(
        name="Step loading",
        unit="repetitions",
        rule=_rule(StepLoading(), slug="archer-row", goal=Goal(5, 12)),
        weights_kg={
            "archer-row": 80.0,
            "one-arm-row-straddle": 105.0,
            "one-arm-row": 120.0,
            "wide-row": 70.0,
        },
    ),
    Plan(
        name="Hold time",
        unit="seconds",
        rule=_rule(
            HoldTimeProgression(step_seconds=3),
            slug="foot-supported-l-sit",
            goal=Goal(10, 30),
        ),
        weights_kg={
            "foot-supported-l-sit": 78.0,
            "tuck-l-sit": 92.0,
            "one-leg-l-sit": 104.0,
            "l-sit": 118.0,
            "parallel-bar-support-hold": 60.0,
        },
    ),
    Plan(
        name="Ladder",
        unit="repetitions",
        rule=_rule(VariationLadder(steps=[(_id(slug), Goal(5, 8)) for slug in ROWS]), slug=ROWS[0]),
        weights_kg=dict(zip(ROWS, (76.0, 90.0, 102.0, 114.0), strict=True)),
    ),
)
SECONDS_PER_REP = 3.0


def track_of(rule: Rule) -> Track:
    """Returns the track of a rule, by the catalogue."""
    if isinstance(rule.policy, VariationLadder):
        return ladder_track(rule.policy.steps, EXERCISES)
    return graph_track(rule.exercise_id, rule.goal, EXERCISES, {}, rule.sets_of_goal)


def proposing(plan: Plan) -> Plan:
    """Returns a plan whose rule proposes, where it would change by itself."""
    return replace(plan, rule=replace(plan.rule, auto_apply=False))


def year(plan: Plan, athlete: Athlete, *, takes_proposals: bool = True) -> list[Session]:
    """Returns a year of training three times a week, by what the rule prescribes, or proposes."""
    rule, track = plan.rule, track_of(plan.rule)
    state = beginning(rule, track)
    sessions = []
    for number in _training_days():
        day = START + timedelta(days=number)
        context = _context(number)
        asked = prescription(rule, state, day, context)
        if takes_proposals:
            asked = _taken(asked)
        athlete.rest_until(number)
        performance = _perform(plan, asked, athlete, number, context)
        state, events = step(rule, track, state, performance)
        sessions.append(Session(day, asked, performance, events, state))
        athlete.train(number)
    return sessions


def _taken(asked: Prescription) -> Prescription:
    """Returns the next session with what is proposed for it, if anything is."""
    state, proposed = asked.state, asked.state.proposed
    if proposed is None or asked.proposed_targets is None:
        return asked
    return Prescription(replace(state, numbers=proposed.numbers), asked.proposed_targets, None)


def _training_days() -> Iterator[int]:
    for number in range(WEEKS * 7):
        is_ill = number in ILLNESS and number != ILLNESS.start
        if number % 7 in TRAINING_DAYS and not is_ill and number not in HOLIDAY:
            yield number


def _context(number: int) -> Context:
    if number in TIRED:
        signs = frozenset({DeloadCondition.LOW_READINESS, DeloadCondition.RPE_DRIFT})
        return Context(readiness=40, deload_conditions=signs)
    return Context()


def _perform(
    plan: Plan, asked: Prescription, athlete: Athlete, number: int, context: Context
) -> Performance:
    exercise = asked.state.numbers.exercise_id
    form = athlete.form()
    intent = Intent.NORMAL
    if number in TECHNIQUE:
        intent = Intent.TECHNIQUE
    if number in ILLNESS:
        intent, form = Intent.ILL, form * 0.85
    is_hold = EXERCISES[exercise].kind is MovementKind.ISOMETRIC
    sets = []
    for index, target in enumerate(asked.targets):
        strength = athlete.strength_kg * form * SET_FATIGUE**index
        weight = plan.weight_kg(exercise) + target.load_kg
        can = max(30 * (strength / weight - 1), 0.0)
        sets.append(_set(target, can, plan.reserve, is_hold=is_hold))
    return Performance(
        day=START + timedelta(days=number), sets={exercise: sets}, intent=intent, context=context
    )


def _set(target: SetTarget, can: float, reserve: float, *, is_hold: bool) -> DoneSet:
    """Returns a set of what is asked for, or of what can be done; `can` is in repetitions."""
    unit = SECONDS_PER_REP if is_hold else 1.0
    most = float(int(can * unit))
    wanted = most if target.high is None else target.high
    if reserve:
        wanted = min(wanted, max(target.low, float(int(can - reserve))))
    amount = min(wanted, most)
    reserve = can - amount / unit
    return DoneSet(amount, target.load_kg, max(round(2 * (10 - reserve)) / 2, LAST_RESERVE_RPE))


# The picture

OUTCOMES = {
    EventKind.SUCCESS: "Success",
    EventKind.HOLD: "Held",
    EventKind.FAIL: "Failure",
    EventKind.SKIP: "Not counted",
}
SHAPES = ("circle", "diamond", "cross", "triangle-down")
MARKS = {
    EventKind.ADVANCE: "▲",
    EventKind.REGRESS: "▼",
    EventKind.RESET: "▼",
    EventKind.EASE: "▼",
}
"""On to a harder exercise, and back to less."""
PAUSE, LIGHT_WEEK = "Illness, holiday", "Deload, technique"
COLUMNS = 3
VALUE_HEADROOM = 1.15
"""Room above the values for the marks."""
PANEL = {"width": 290, "height": 130}
LABEL_PIXELS = 24
"""Room for the numbers of the vertical axis, so that all panels begin at the same place."""
LIGHT_WEEK_OPACITY = 0.16
DESCRIPTION = (
    "What nine rules of progression ask for in a year of training three times a week, and whether "
    "each session was a success, held, a failure, or not counted."
)


def draw(theme: Theme = Theme.LIGHT) -> str:
    """Returns the picture of all years as SVG."""
    import altair
    import vl_convert

    palette = PALETTES[theme]
    panels = [_panel(plan, year(plan, Athlete()), palette) for plan in PLANS]
    picture = (
        altair.concat(*panels, columns=COLUMNS, background=palette.background)
        .properties(bounds="flush", spacing={"row": 84, "column": 60}, padding=10)
        .resolve_scale(color="shared", shape="shared", fill="shared")
        .configure(**config(palette))
        .configure_axisY(minExtent=LABEL_PIXELS)
    )
    svg = vl_convert.vegalite_to_svg(
        picture.to_dict(), vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]
    )
    return described(svg, DESCRIPTION)


def _panel(plan: Plan, sessions: Sequence[Session], palette: Palette) -> Any:
    import altair

    rows = [_row(plan, one) for one in sessions]
    axis = altair.Axis(title="week", values=list(range(0, WEEKS + 1, 13)), grid=False)
    x = altair.X("week:Q", axis=axis, scale=altair.Scale(domain=[0, WEEKS], nice=False))
    most = VALUE_HEADROOM * max(max(row["asked"], row["done"]) for row in rows)
    y = altair.Y(
        "asked:Q",
        title=plan.unit,
        axis=altair.Axis(tickCount=4),
        scale=altair.Scale(domain=[0, most], nice=False),
    )
    base = altair.Chart(altair.InlineData(values=rows))
    line = base.mark_line(interpolate="step-after", color=palette.muted, strokeWidth=1)
    marks = base.transform_filter("datum.mark != ''").mark_text(fontSize=9, color=palette.text)
    layers = (
        _shades(sessions, x, palette),
        line.encode(x=x, y=y),
        _dots(base, x, palette),
        marks.encode(x=x, y=altair.value(5), text="mark:N"),
    )
    title = altair.Title(plan.name, subtitle=_exercises(sessions), anchor="start")
    return altair.layer(*layers, title=title).properties(**PANEL)


def _shades(sessions: Sequence[Session], x: Any, palette: Palette) -> Any:
    """Returns what lies behind the weeks that were unlike the others."""
    import altair

    light = {number // 7 for number in _days(sessions, EventKind.SKIP) if number not in ILLNESS}
    spans = [{"week": of.start / 7, "to": of.stop / 7, "of": PAUSE} for of in (ILLNESS, HOLIDAY)]
    spans += [{"week": week, "to": week + 1, "of": LIGHT_WEEK} for week in sorted(light)]
    colours = [palette.grid, _mixed(palette.categories[0], palette.background)]
    scale = altair.Scale(domain=[PAUSE, LIGHT_WEEK], range=colours)
    fill = altair.Fill("of:N", title=None, scale=scale)
    shades = altair.Chart(altair.InlineData(values=spans)).mark_rect()
    return shades.encode(x=x, x2="to:Q", fill=fill)


def _mixed(colour: str, background: str) -> str:
    """Returns a little of a colour, opaque: a legend would show it as strong as it is."""
    pairs = [(int(colour[at : at + 2], 16), int(background[at : at + 2], 16)) for at in (1, 3, 5)]
    share = LIGHT_WEEK_OPACITY
    return "#" + "".join(f"{round(of * share + under * (1 - share)):02X}" for of, under in pairs)


def _dots(base: Any, x: Any, palette: Palette) -> Any:
    import altair

    names = list(OUTCOMES.values())
    colours = [palette.categories[3], palette.categories[2], palette.categories[1], palette.muted]
    return base.mark_point(filled=True, size=14, opacity=0.9).encode(
        x=x,
        y=altair.Y("done:Q"),
        color=altair.Color(
            "outcome:N", title=None, scale=altair.Scale(domain=names, range=colours)
        ),
        shape=altair.Shape(
            "outcome:N", title=None, scale=altair.Scale(domain=names, range=list(SHAPES))
        ),
    )


def _days(sessions: Sequence[Session], kind: EventKind) -> list[int]:
    return [
        (one.day - START).days
        for one in sessions
        if any(event.kind is kind for event in one.events)
    ]


def _exercises(sessions: Sequence[Session]) -> str:
    """Returns the names of the exercises of a year, in the order in which they came."""
    ids = dict.fromkeys(one.prescribed.state.numbers.exercise_id for one in sessions)
    return ", ".join(EXERCISES[id].name.split(" (")[0] for id in ids)


def _row(plan: Plan, one: Session) -> dict[str, Any]:
    targets = one.prescribed.targets
    [sets] = one.performance.sets.values()
    if plan.unit == "kg":
        asked, done = targets[-1].load_kg, sets[-1].load_kg
    else:
        asked = sum(target.high or target.low for target in targets)
        done = sum(each.amount or 0 for each in sets)
    kinds = [event.kind for event in one.events]
    return {
        "week": round((one.day - START).days / 7, 3),
        "asked": asked,
        "done": done,
        "outcome": next(OUTCOMES[kind] for kind in kinds if kind in OUTCOMES),
        "mark": next((MARKS[kind] for kind in kinds if kind in MARKS), ""),
    }


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
