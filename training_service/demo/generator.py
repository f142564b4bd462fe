"""Makes up what an athlete did. The same generator state makes up the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from calisthenics.training.v1 import exercise_pb2, session_pb2, set_pb2, workout_pb2

from training_service.demo.characters import (
    SATURDAY,
    Character,
    Course,
    Movement,
    Story,
    Template,
)

REST_WEEK_EVERY_WEEKS = 7
REST_WEEK_FROM_END = 5
TRAVEL_EVERY_WEEKS = 26
TRAVEL_WEEK_FROM_END = 2
"""Weeks count back from the newest, which is 0."""

MISSED_DAY_CHANCE = 0.3
EXTRA_DAY_CHANCE = 0.3
"""Each for one day of a week."""
FREE_FORM_CHANCE = 0.08
PARTIAL_CHANCE = 0.05
WEIGH_IN_CHANCE = 0.6
UNRATED_SET_CHANCE = 0.1

DAY_FORM_DEVIATION = 0.05
SET_DEVIATION = 0.06
FATIGUE_PER_SET = 0.05
BODY_MASS_DEVIATION_KG = 0.4
LOAD_DEVIATION_KG = 0.8
LOAD_STEP_KG = 2.5
HOLD_STEP_SECONDS = 0.5

START_DEVIATION_MINUTES = 20
SET_SECONDS = 40
SETTING_UP_SECONDS = 360
FORGOTTEN_TIMER_SECONDS = 5 * 3600
SECOND_TAP_DELAY_SECONDS = 90

SIDES = (set_pb2.SIDE_LEFT, set_pb2.SIDE_RIGHT)
BOTH_SIDES = (set_pb2.SIDE_UNSPECIFIED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A session to log and what is to become of it."""

    session: session_pb2.Session
    corrected: session_pb2.Session | None = None
    amend_reason: str = ""
    void_reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the service knows when an athlete begins to log.

    `drafts` holds, for each template of the character, a draft of each revision.
    """

    exercises: Mapping[str, exercise_pb2.Exercise]
    drafts: Sequence[Sequence[session_pb2.Session]]


def workout_of(
    template: Template,
    movements: Sequence[Movement],
    exercises: Mapping[str, exercise_pb2.Exercise],
    age_days: float,
) -> workout_pb2.Workout:
    """Returns a revision of a template, with the loads of its day."""
    revised = movements is template.revised_movements
    return workout_pb2.Workout(
        display_name=template.display_name,
        description=template.revised_description if revised else template.description,
        exercises=[_prescribe(m, exercises[m.slug], age_days) for m in movements],
    )


def _prescribe(
    movement: Movement, exercise: exercise_pb2.Exercise, age_days: float
) -> workout_pb2.WorkoutExercise:
    prescribed = workout_pb2.WorkoutExercise(
        exercise_id=exercise.id,
        sets=movement.sets,
        rest_seconds=movement.rest_seconds,
        tempo=movement.tempo,
        per_side=exercise.unilateral,
        superset_group=movement.superset_group,
        kind=movement.kind,
    )
    low, high = round(movement.volume.start), round(movement.volume.goal)
    if exercise.movement_kind == exercise_pb2.MOVEMENT_KIND_ISOMETRIC:
        prescribed.hold.min_seconds, prescribed.hold.max_seconds = low, high
    else:
        prescribed.reps.min, prescribed.reps.max = low, high
    if movement.load_kg:
        prescribed.load_kg = _to_step(movement.load_kg.at(age_days), LOAD_STEP_KG)
    return prescribed


class LogGenerator:
    """Makes up one athlete's log, from `days` days before today until yesterday."""

    def __init__(
        self, character: Character, plan: Plan, today: date, days: int, random: Random
    ) -> None:
        self._character = character
        self._plan = plan
        self._newest_day = today - timedelta(days=1)
        self._first_day = today - timedelta(days=days)
        self._days = days
        self._random = random

    def entries(self) -> list[Entry]:
        """Returns the log, oldest first."""
        days = self._training_days()
        entries: list[Entry] = []
        for index, day in enumerate(days):
            entries += self._entries_of(day, index, self._story(len(days) - 1 - index))
        return entries

    def _training_days(self) -> list[date]:
        weeks = (self._days + 6) // 7
        return [
            day
            for weeks_ago in reversed(range(weeks))
            for day in self._week(weeks_ago)
            if day >= self._first_day
        ]

    def _week(self, weeks_ago: int) -> list[date]:
        """Returns the days of a week with a session, none in a rest week."""
        if weeks_ago % REST_WEEK_EVERY_WEEKS == REST_WEEK_FROM_END:
            return []
        weekdays = list(self._character.weekdays)
        if self._random.random() < MISSED_DAY_CHANCE:
            weekdays.remove(self._random.choice(weekdays))
        if self._random.random() < EXTRA_DAY_CHANCE and self._character.extra_weekday is not None:
            weekdays.append(self._character.extra_weekday)
        last = self._newest_day - timedelta(weeks=weeks_ago)
        week = [last - timedelta(days=back) for back in reversed(range(7))]
        return [day for day in week if day.weekday() in weekdays]

    def _story(self, sessions_ago: int) -> Story:
        stories = self._character.stories
        if sessions_ago <= max(stories):
            return stories.get(sessions_ago, Story.USUAL)
        chance = self._random.random()
        if chance < FREE_FORM_CHANCE:
            return Story.FREE_FORM
        return Story.PARTIAL if chance < FREE_FORM_CHANCE + PARTIAL_CHANCE else Story.USUAL

    def _entries_of(self, day: date, index: int, story: Story) -> Iterator[Entry]:
        session = self._session(day, index, story)
        if story is Story.AMENDED:
            mistaken = _copy(session)
            mistaken.duration_seconds += FORGOTTEN_TIMER_SECONDS
            yield Entry(
                session=mistaken, corrected=session, amend_reason="The timer was left running."
            )
            return
        yield Entry(session=session)
        if story is Story.LOGGED_TWICE:
            twin = _copy(session)
            twin.start_time.seconds += SECOND_TAP_DELAY_SECONDS
            yield Entry(session=twin, void_reason="Logged twice.")

    def _session(self, day: date, index: int, story: Story) -> session_pb2.Session:
        age_days = (day - self._first_day).days
        if story is Story.FREE_FORM:
            session, movements = self._free_form()
        else:
            session, movements = self._from_draft(age_days, index)
        self._begin(session, day)
        if story is Story.ZERO_DURATION:
            _call_off(session, self._character.zero_duration_notes)
            return session
        self._train(session, movements, age_days)
        if story is Story.PARTIAL:
            _break_off(session, self._character.partial_notes)
        self._finish(session, movements)
        return session

    def _from_draft(
        self, age_days: int, index: int
    ) -> tuple[session_pb2.Session, Sequence[Movement]]:
        """Returns an unfilled session of the template whose turn it is."""
        number = index % len(self._character.templates)
        template = self._character.templates[number]
        revised = age_days >= self._days / 2
        movements = template.revised_movements if revised else template.movements
        return _copy(self._plan.drafts[number][revised]), movements

    def _free_form(self) -> tuple[session_pb2.Session, Sequence[Movement]]:
        """Returns an unfilled session without a template."""
        session = session_pb2.Session(notes=self._character.free_form_notes)
        for movement in self._character.free_form:
            exercise = self._plan.exercises[movement.slug]
            sides = SIDES if exercise.unilateral else BOTH_SIDES
            session.exercises.add(
                exercise_id=exercise.id,
                sets=[
                    session_pb2.PerformedSet(kind=movement.kind, side=side)
                    for _ in range(movement.sets)
                    for side in sides
                ],
            )
        return session, self._character.free_form

    def _begin(self, session: session_pb2.Session, day: date) -> None:
        """Sets when and where a session began."""
        character = self._character
        weeks_ago = (self._newest_day - day).days // 7
        travels = weeks_ago % TRAVEL_EVERY_WEEKS == TRAVEL_WEEK_FROM_END
        session.time_zone = character.travel_time_zone if travels else character.time_zone
        usual = character.weekend_start if day.weekday() >= SATURDAY else character.usual_start
        start = self._around(day, usual, ZoneInfo(session.time_zone))
        session.start_time.FromDatetime(start)
        # There is no scale on a journey.
        if self._random.random() < WEIGH_IN_CHANCE and not travels:
            mass = character.body_mass_kg.at((day - self._first_day).days)
            session.body_mass_kg = round(self._random.gauss(mass, BODY_MASS_DEVIATION_KG), 1)

    def _around(self, day: date, usual: time, zone: ZoneInfo) -> datetime:
        delay = timedelta(minutes=round(self._random.gauss(0, START_DEVIATION_MINUTES)))
        return (datetime.combine(day, usual, zone) + delay).astimezone(UTC)

    def _train(
        self, session: session_pb2.Session, movements: Sequence[Movement], age_days: int
    ) -> None:
        """Fills in what was done."""
        form = 1 + self._random.gauss(0, DAY_FORM_DEVIATION)
        for performed, movement in zip(session.exercises, movements, strict=True):
            load_kg = self._load_kg(movement.load_kg, age_days)
            isometric = (
                self._plan.exercises[movement.slug].movement_kind
                == exercise_pb2.MOVEMENT_KIND_ISOMETRIC
            )
            for number, one in enumerate(performed.sets):
                tiring = 1 - FATIGUE_PER_SET * number / _sides(performed)
                expected = movement.volume.at(age_days) * form * tiring
                amount = max(1.0, self._random.gauss(expected, expected * SET_DEVIATION))
                if isometric:
                    one.actual_hold_seconds = _to_step(amount, HOLD_STEP_SECONDS)
                else:
                    one.actual_reps = round(amount)
                if load_kg:
                    one.load_kg = load_kg
                one.tempo = movement.tempo
                self._rate(one, number / _sides(performed))

    def _load_kg(self, course: Course | None, age_days: int) -> float:
        if course is None:
            return 0.0
        return _to_step(self._random.gauss(course.at(age_days), LOAD_DEVIATION_KG), LOAD_STEP_KG)

    def _rate(self, one: session_pb2.PerformedSet, sets_before: float) -> None:
        """Says how hard a working set was, in the athlete's own terms."""
        if one.kind == set_pb2.SET_KIND_WARM_UP or self._random.random() < UNRATED_SET_CHANCE:
            return
        rpe = min(10.0, _to_step(self._random.gauss(7 + 0.5 * sets_before, 0.4), 0.5))
        if self._character.rates_in_reserve:
            one.rir = 10 - rpe
        else:
            one.rpe = rpe

    def _finish(self, session: session_pb2.Session, movements: Sequence[Movement]) -> None:
        """Says how long and how hard the whole was."""
        seconds = float(SETTING_UP_SECONDS)
        for performed, movement in zip(session.exercises, movements, strict=True):
            done = sum(1 for one in performed.sets if not one.HasField("completed"))
            seconds += done * (SET_SECONDS + movement.rest_seconds / _sides(performed))
        session.duration_seconds = round(self._random.gauss(seconds, seconds * SET_DEVIATION))
        session.session_rpe = min(10.0, _to_step(self._random.gauss(7, 0.7), 0.5))


def _sides(performed: session_pb2.SessionExercise) -> int:
    return 2 if performed.sets[0].side else 1


def _break_off(session: session_pb2.Session, notes: str) -> None:
    """Leaves the second half of a session undone."""
    session.completion = session_pb2.SESSION_COMPLETION_PARTIAL
    session.notes = notes
    for performed in session.exercises[len(session.exercises) // 2 :]:
        for one in performed.sets:
            for name in ("actual_reps", "actual_hold_seconds", "load_kg", "tempo", "rpe", "rir"):
                one.ClearField(name)
            one.completed = False


def _call_off(session: session_pb2.Session, notes: str) -> None:
    """Ends a session before its first set."""
    session.completion = session_pb2.SESSION_COMPLETION_PARTIAL
    session.notes = notes
    session.duration_seconds = 0
    session.ClearField("exercises")


def _copy(session: session_pb2.Session) -> session_pb2.Session:
    copy = session_pb2.Session()
    copy.CopyFrom(session)
    return copy


def _to_step(value: float, step: float) -> float:
    return round(value / step) * step
