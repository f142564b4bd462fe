"""Who trains in the demo, and how they get better at it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import time
from enum import Enum, auto

from calisthenics.training.v1 import set_pb2

ADAPTATION_DAYS = 180.0
"""After this time 63 % of the way to an athlete's goal is behind them."""

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)


class Story(Enum):
    """What is special about a session."""

    USUAL = auto()
    FREE_FORM = auto()
    PARTIAL = auto()
    ZERO_DURATION = auto()
    AMENDED = auto()
    LOGGED_TWICE = auto()


@dataclass(frozen=True, slots=True)
class Course:
    """A quantity on its way from a start to a goal, fast at first and slower later."""

    start: float
    goal: float

    def at(self, age_days: float) -> float:
        """Returns the quantity so many days after the first session."""
        return self.goal + (self.start - self.goal) * math.exp(-age_days / ADAPTATION_DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """An exercise as one athlete does it; `volume` is repetitions or seconds a set."""

    slug: str
    sets: int
    volume: Course
    load_kg: Course | None = None
    rest_seconds: int = 120
    tempo: str = ""
    kind: set_pb2.SetKind.ValueType = set_pb2.SET_KIND_STRAIGHT
    superset_group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A workout in its first revision, and what it becomes half-way through the log."""

    display_name: str
    description: str
    movements: tuple[Movement, ...]
    revised_description: str
    revised_movements: tuple[Movement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    """An athlete of the demo. `stories` counts sessions back from the newest, which is 0."""

    name: str
    summary: str
    time_zone: str
    travel_time_zone: str
    weekdays: tuple[int, ...]
    extra_weekday: int | None = None
    usual_start: time
    weekend_start: time
    body_mass_kg: Course
    rates_in_reserve: bool
    templates: tuple[Template, ...]
    free_form: tuple[Movement, ...]
    free_form_notes: str
    partial_notes: str
    zero_duration_notes: str
    stories: Mapping[int, Story] = field(default_factory=dict)

    def slugs(self) -> set[str]:
        """Returns the slugs of all exercises this athlete does."""
        movements = list(self.free_form)
        for template in self.templates:
            movements += template.movements + template.revised_movements
        return {movement.slug for movement in movements}


_PUSH_UP = Movement(
    slug="push-up", sets=3, volume=Course(5, 15), rest_seconds=90, superset_group="A"
)
_ASSISTED_CHIN_UP = Movement(
    slug="chin-up",
    sets=3,
    volume=Course(5, 8),
    load_kg=Course(-27.5, -5),
    rest_seconds=90,
    superset_group="A",
)
_REVERSE_LUNGE = Movement(
    slug="reverse-lunge", sets=2, volume=Course(8, 12), load_kg=Course(7.5, 22.5), rest_seconds=60
)
_PLANK = Movement(slug="plank", sets=2, volume=Course(25, 75), rest_seconds=60)
_SCAPULAR_WARM_UP = Movement(
    slug="scapular-pull-up",
    sets=1,
    volume=Course(6, 10),
    rest_seconds=60,
    kind=set_pb2.SET_KIND_WARM_UP,
)

_FULL_BODY = Template(
    display_name="Full body",
    description="The basics, three times a week.",
    movements=(_SCAPULAR_WARM_UP, _PUSH_UP, _ASSISTED_CHIN_UP, _REVERSE_LUNGE, _PLANK),
    revised_description="The basics; the plank has made way for the L-sit.",
    revised_movements=(
        _SCAPULAR_WARM_UP,
        replace(_PUSH_UP, tempo="2-0-1-0"),
        _ASSISTED_CHIN_UP,
        _REVERSE_LUNGE,
        Movement(slug="tuck-l-sit", sets=3, volume=Course(6, 20), rest_seconds=90),
    ),
)

BEGINNER = Character(
    name="Nora",
    summary="a beginner",
    time_zone="Europe/Berlin",
    travel_time_zone="Atlantic/Madeira",
    weekdays=(MONDAY, WEDNESDAY, SATURDAY),
    extra_weekday=FRIDAY,
    usual_start=time(18, 30),
    weekend_start=time(10, 15),
    body_mass_kg=Course(71.5, 68.0),
    rates_in_reserve=False,
    templates=(_FULL_BODY,),
    free_form=(
        Movement(slug="push-up", sets=1, volume=Course(8, 24), kind=set_pb2.SET_KIND_AMRAP),
        Movement(slug="horizontal-row", sets=3, volume=Course(6, 14)),
        Movement(slug="dead-hang", sets=2, volume=Course(25, 70)),
    ),
    free_form_notes="In the park with friends.",
    partial_notes="Elbow sore, stopped early.",
    zero_duration_notes="Thunder before the first set.",
    stories={
        1: Story.PARTIAL,
        2: Story.AMENDED,
        3: Story.FREE_FORM,
        5: Story.LOGGED_TWICE,
        6: Story.ZERO_DURATION,
    },
)

_SKIN_THE_CAT_WARM_UP = Movement(
    slug="skin-the-cat",
    sets=1,
    volume=Course(4, 5),
    rest_seconds=90,
    kind=set_pb2.SET_KIND_WARM_UP,
)
_WEIGHTED_PULL_UP = Movement(
    slug="pull-up", sets=4, volume=Course(5, 6), load_kg=Course(20, 40), rest_seconds=180
)
_FRONT_LEVER = Movement(
    slug="advanced-tuck-front-lever", sets=4, volume=Course(9, 18), rest_seconds=150
)
_ONE_ARM_CHIN_UP = Movement(
    slug="one-arm-chin-up-assisted",
    sets=3,
    volume=Course(3, 5),
    load_kg=Course(-20, -7.5),
    rest_seconds=150,
)
_SUPPORT_WARM_UP = Movement(
    slug="ring-support-hold",
    sets=2,
    volume=Course(30, 45),
    rest_seconds=60,
    kind=set_pb2.SET_KIND_WARM_UP,
)
_RING_DIP = Movement(
    slug="ring-dip",
    sets=4,
    volume=Course(6, 8),
    load_kg=Course(10, 27.5),
    rest_seconds=180,
    tempo="30X1",
)
_RING_PLANCHE = Movement(slug="ring-tuck-planche", sets=4, volume=Course(6, 14), rest_seconds=150)
_PISTOL_SQUAT = Movement(
    slug="pistol-squat", sets=2, volume=Course(6, 8), load_kg=Course(5, 17.5), rest_seconds=90
)

_RINGS_PULL = Template(
    display_name="Rings pull",
    description="Front lever and one-arm chin-up.",
    movements=(_SKIN_THE_CAT_WARM_UP, _WEIGHTED_PULL_UP, _FRONT_LEVER, _ONE_ARM_CHIN_UP),
    revised_description="Front lever and one-arm chin-up, one heavy set more.",
    revised_movements=(
        _SKIN_THE_CAT_WARM_UP,
        replace(_WEIGHTED_PULL_UP, sets=5),
        _FRONT_LEVER,
        _ONE_ARM_CHIN_UP,
    ),
)
_RINGS_PUSH = Template(
    display_name="Rings push",
    description="Ring dips, planche and legs.",
    movements=(_SUPPORT_WARM_UP, _RING_DIP, _RING_PLANCHE, _PISTOL_SQUAT),
    revised_description="Iron cross, ring dips and planche, with less for the legs.",
    revised_movements=(
        _SUPPORT_WARM_UP,
        Movement(
            slug="iron-cross-assisted",
            sets=2,
            volume=Course(5, 9),
            load_kg=Course(-25, -10),
            rest_seconds=180,
        ),
        _RING_DIP,
        replace(_RING_PLANCHE, sets=3),
        replace(_PISTOL_SQUAT, sets=1),
    ),
)

ADVANCED = Character(
    name="Kai",
    summary="an advanced rings athlete",
    time_zone="Asia/Tokyo",
    travel_time_zone="America/Los_Angeles",
    weekdays=(MONDAY, TUESDAY, THURSDAY, SATURDAY),
    usual_start=time(7, 0),
    weekend_start=time(9, 30),
    body_mass_kg=Course(73.0, 75.5),
    rates_in_reserve=True,
    templates=(_RINGS_PULL, _RINGS_PUSH),
    free_form=(
        Movement(slug="freestanding-handstand", sets=5, volume=Course(18, 45), rest_seconds=60),
        Movement(
            slug="ring-muscle-up",
            sets=6,
            volume=Course(2, 4),
            rest_seconds=45,
            kind=set_pb2.SET_KIND_EMOM,
        ),
    ),
    free_form_notes="Handstand practice.",
    partial_notes="A ring strap slipped.",
    zero_duration_notes="The gym was closed.",
    stories={
        1: Story.AMENDED,
        3: Story.LOGGED_TWICE,
        4: Story.FREE_FORM,
        6: Story.PARTIAL,
        7: Story.ZERO_DURATION,
    },
)

CHARACTERS = (BEGINNER, ADVANCED)
