"""What charts are drawn of."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import metrics_pb2
from google.api.httpbody_pb2 import HttpBody

from training_service.caller import Scope
from training_service.charts import data as charts
from training_service.charts.render import ChartRenderer
from training_service.domain.distribution import by_muscle
from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import combined
from training_service.domain.periods import Period
from training_service.errors import invalid_field
from training_service.servicers.enums import EnumNames
from training_service.servicers.exercise_volume import exercise_volumes
from training_service.servicers.skill_source import SkillSource
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.metrics import ExerciseDay, MetricsRepository, PeriodTotal
from training_service.storage.personal_record import COLUMNS, RecordKind
from training_service.storage.tables import BESTS

MAX_DAYS = 20 * 366
"""Most days of a chart."""
MEASURES = {
    RecordKind.MOST_REPS: charts.ProgressMeasure.MOST_REPS,
    RecordKind.LONGEST_HOLD: charts.ProgressMeasure.LONGEST_HOLD,
    RecordKind.HEAVIEST_LOAD: charts.ProgressMeasure.HEAVIEST_LOAD,
    RecordKind.BEST_1RM: charts.ProgressMeasure.ONE_REP_MAX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuestion:
    """Whose chart, and of which days."""

    scope: Scope
    period: charts.Period
    today: date
    exercises: Sequence[ExerciseFacts] = ()
    """What a chart of progress or of skills is about."""
    measure: RecordKind | None = None
    """What a chart of progress compares; None leaves it to the exercises."""


DEFAULT_WIDTH, DEFAULT_HEIGHT = 800, 400
"""Pixels of a chart."""
CHART_FORMAT = EnumNames(metrics_pb2.ChartFormat)
CHART_THEME = EnumNames(metrics_pb2.ChartTheme)
MEDIA_TYPES = {
    charts.ChartFormat.SVG: "image/svg+xml",
    charts.ChartFormat.PNG: "image/png",
    charts.ChartFormat.VEGA_LITE: "application/json",
}


def chart_size(request: Any) -> charts.Size:
    """Returns how large a chart is asked for; refuses one without room for its legends."""
    width = request.width_pixels or DEFAULT_WIDTH
    height = request.height_pixels or DEFAULT_HEIGHT
    if width < charts.MIN_WIDTH:
        raise invalid_field("width_pixels", f"must be 0 or at least {charts.MIN_WIDTH}")
    if height < charts.MIN_HEIGHT:
        raise invalid_field("height_pixels", f"must be 0 or at least {charts.MIN_HEIGHT}")
    return charts.Size(width, height)


async def drawn(
    renderer: ChartRenderer, chart: charts.Chart, request: Any, size: charts.Size
) -> HttpBody:
    """Returns a chart in the format and for the background that a request asks for."""
    form = charts.ChartFormat(CHART_FORMAT.name(request.format or metrics_pb2.CHART_FORMAT_SVG))
    theme = charts.Theme(CHART_THEME.name(request.theme or metrics_pb2.CHART_THEME_LIGHT))
    data = await renderer.render(chart, form, theme, size)
    return HttpBody(content_type=MEDIA_TYPES[form], data=data)


class ChartSource:
    """Gathers what a chart shows."""

    def __init__(
        self, metrics: MetricsRepository, catalogue: Catalogue, skills: SkillSource
    ) -> None:
        self._metrics = metrics
        self._catalogue = catalogue
        self._skills = skills
        self.kinds: Mapping[str, Callable[[ChartQuestion], Awaitable[charts.Chart]]] = {
            "WEEKLY_VOLUME": self.weekly_volume,
            "LOAD": self.load,
            "EXERCISE_PROGRESS": self.exercise_progress,
            "MUSCLE_DISTRIBUTION": self.muscle_distribution,
            "TRAINING_CALENDAR": self.training_calendar,
            "SKILL_GRAPH": self.skill_graph,
        }

    async def weekly_volume(self, asked: ChartQuestion) -> charts.WeeklyVolume:
        """Returns effective repetitions of each week by category."""
        period = asked.period
        weeks = await self._metrics.list_category_weeks(asked.scope, period.since, period.through)
        return charts.WeeklyVolume(
            period=period,
            today=asked.today,
            volumes=tuple(
                charts.CategoryVolume(
                    monday=week.start_date,
                    category=week.category,
                    effective_reps=week.effective_reps.amount,
                )
                for week in weeks
            ),
            coverage=combined([week.effective_reps for week in weeks]).coverage,
        )

    async def load(self, asked: ChartQuestion) -> charts.LoadOverTime:
        """Returns the load of each day, and the mean of each week."""
        period = asked.period
        days = await self._metrics.list_days(asked.scope, period.since, period.through, MAX_DAYS)
        weeks = await self._metrics.list_periods(
            asked.scope, Period.WEEK, Period.WEEK.start(period.since), period.through, MAX_DAYS
        )
        return charts.LoadOverTime(
            period=period,
            days=tuple(
                charts.DayLoad(day=day.start_date, load_au=day.load_au.value) for day in days
            ),
            weeks=tuple(_week_load(week, period.through) for week in weeks),
        )

    async def exercise_progress(self, asked: ChartQuestion) -> charts.ExerciseProgress:
        """Returns the best of each day in the exercises that were done most often."""
        measure = asked.measure or _usual_measure(asked.exercises)
        column = BESTS.index(COLUMNS[measure])
        ids = [facts.id for facts in asked.exercises]
        begin, last = (asked.period.since, UUID(int=0)), asked.period.through
        limit = MAX_DAYS * charts.MAX_SERIES
        days = await self._metrics.list_progress(asked.scope, ids, begin, last, limit)
        bests: dict[UUID, list[charts.SessionBest]] = defaultdict(list)
        for day in days:
            if (best := _session_best(day, column)) is not None:
                bests[day.exercise_id].append(best)
        shown = sorted(bests, key=lambda id: -len(bests[id]))[: charts.MAX_SERIES]
        return charts.ExerciseProgress(
            period=asked.period,
            measure=MEASURES[measure],
            series=tuple(
                charts.ExerciseSeries(name=facts.display_name, bests=tuple(bests[facts.id]))
                for facts in asked.exercises
                if facts.id in shown
            ),
        )

    async def muscle_distribution(self, asked: ChartQuestion) -> charts.MuscleDistribution:
        """Returns the effective repetitions of each muscle."""
        period = asked.period
        done = await self._metrics.list_exercises(asked.scope, period.since, period.through)
        volumes = await exercise_volumes(self._catalogue, done)
        return charts.MuscleDistribution(
            period=period,
            muscles=tuple(
                charts.MuscleVolume(
                    name=one.muscle.replace("_", " ").capitalize(),
                    primary_effective_reps=one.primary_effective_reps,
                    secondary_effective_reps=one.secondary_effective_reps,
                )
                for one in by_muscle(volumes)
            ),
            coverage=combined([volume.effective_reps for volume in volumes]).coverage,
        )

    async def training_calendar(self, asked: ChartQuestion) -> charts.TrainingCalendar:
        """Returns the sets of each day."""
        period = asked.period
        days = await self._metrics.list_days(asked.scope, period.since, period.through, MAX_DAYS)
        first = await self._metrics.list_days(asked.scope, date.min, date.max, 1)
        return charts.TrainingCalendar(
            period=period,
            measure=charts.CalendarMeasure.SETS,
            days=tuple(charts.DayTotal(day=d.start_date, amount=d.set_count) for d in days),
            first_log=first[0].start_date if first else None,
        )

    async def skill_graph(self, asked: ChartQuestion) -> charts.FamilyGraph:
        """Returns the progressions within a family, with where the athlete stands today."""
        family = asked.exercises[0].family
        graph, facts = await self._skills.family(asked.scope, family)
        members = graph.ordered(id for id in graph.skills if facts[id].family == family)
        place = {skill.id: index for index, skill in enumerate(members)}
        passed = [skill for skill in members if graph.is_passed(skill)]
        return charts.FamilyGraph(
            family=family,
            nodes=tuple(
                charts.SkillNode(
                    name=facts[skill.id].display_name,
                    difficulty=skill.difficulty,
                    state=charts.SkillState(graph.state(skill)),
                    share=graph.share(skill),
                )
                for skill in members
            ),
            edges=tuple(
                (place[easier.id], place[skill.id])
                for skill in members
                for easier in graph.easier[skill.id]
                if easier.id in place
            ),
            position=place[passed[-1].id] if passed else None,
        )


def _week_load(week: PeriodTotal, through: date) -> charts.WeekLoad:
    """Returns the mean of a week's days, of those only that are over or under way."""
    load_au = week.load_au.value
    days = min((through - week.start_date).days + 1, 7)
    return charts.WeekLoad(
        monday=week.start_date, mean_daily_load_au=None if load_au is None else load_au / days
    )


def _usual_measure(exercises: Sequence[ExerciseFacts]) -> RecordKind:
    if all(facts.movement_kind is MovementKind.ISOMETRIC for facts in exercises):
        return RecordKind.LONGEST_HOLD
    return RecordKind.MOST_REPS


def _session_best(day: ExerciseDay, column: int) -> charts.SessionBest | None:
    value = day.bests[column]
    if value is None:
        return None
    return charts.SessionBest(day=day.local_date, value=value, is_record=day.are_records[column])
