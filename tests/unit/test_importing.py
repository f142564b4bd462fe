"""What other apps export: how it is read, matched and made into sessions."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2, set_pb2

from training_service.catalogue import load_catalogue
from training_service.importing.cells import FileError
from training_service.importing.drafts import Draft, Drafter, batches, instant
from training_service.importing.formats import (
    ImportedExercise,
    ImportedFile,
    ImportedSession,
    ImportedSet,
    Source,
    WeightUnit,
    read_file,
)
from training_service.importing.matching import AppExercise, How, Match, Matcher

DATA = Path(__file__).parents[1] / "data" / "importing"
ATHLETE = uuid.UUID("5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11")
BERLIN = ZoneInfo("Europe/Berlin")
STRONG = (
    "Date,Workout Name,Duration,Exercise Name,Set Order,Weight,Reps,Distance,Seconds,Notes,"
    "Workout Notes,RPE\n"
)


def read(name: str, unit: WeightUnit | None = None) -> ImportedFile:
    return read_file((DATA / name).read_bytes(), weight_unit=unit)


def strong(*rows: str, unit: WeightUnit | None = WeightUnit.KG) -> ImportedFile:
    return read_file((STRONG + "\n".join(rows)).encode(), weight_unit=unit)


def strong_set(**cells: object) -> ImportedSet:
    """Reads one set with these cells."""
    usual: dict[str, object] = {"order": 1, "weight": 0, "reps": 5, "seconds": 0, "rpe": ""}
    given = {**usual, **cells}
    row = "2024-03-26 18:05:00,A,1h,Pull Up,{order},{weight},{reps},0,{seconds},,,{rpe}"
    return strong(row.format(**given)).sessions[0].exercises[0].sets[0]


def failure(data: bytes | str, source: Source | None = None) -> str:
    with pytest.raises(FileError) as caught:
        read_file(data.encode() if isinstance(data, str) else data, source)
    return str(caught.value)


# Formats


def test_a_strong_file_is_read_whole() -> None:
    file = read("strong.csv", WeightUnit.KG)
    assert file.source is Source.STRONG
    pull, legs, push = file.sessions
    assert pull.start == datetime(2024, 3, 26, 18, 5)
    assert (pull.name, pull.notes, pull.duration_seconds) == ("Pull, heavy", "Good day", 3900)
    assert [exercise.name for exercise in pull.exercises] == [
        "Pull Up",
        "Pull Up (Assisted)",
        "Plank",
    ]
    assert pull.exercises[0].sets == (
        ImportedSet(line=2, reps=5, is_warm_up=True),
        ImportedSet(line=3, reps=6, weight_kg=10, rpe=8, notes="belt"),
        ImportedSet(line=4, reps=4, weight_kg=10.5, rpe=9.5),
    )
    assert pull.exercises[2].sets == (ImportedSet(line=7, seconds=60),)
    assert (legs.line, push.line) == (8, 11)
    assert push.exercises[0].notes == "Hands\nwide"
    assert push.exercises[0].sets == (ImportedSet(line=11, reps=20),)


def test_a_strong_file_with_units_may_mix_them() -> None:
    [session] = read("strong_units.csv").sessions
    first, second = session.exercises[0].sets
    assert session.duration_seconds == 3600
    assert first.weight_kg == pytest.approx(20.41165665, abs=1e-12)
    assert (second.weight_kg, second.rpe) == (22.5, 7.5)


def test_a_strong_file_with_units_in_its_header() -> None:
    [session] = read_file(
        b'"Workout #";"Date";"Workout Name";"Duration (sec)";"Exercise Name";"Set Order";'
        b'"Weight (lbs)";"Reps";"RPE";"Distance (meters)";"Seconds";"Notes";"Workout Notes"\n'
        b'"1";"2024-08-06 13:59:53";"Push";"1200";"Push Up";"1";"10";"8";"";"";"";"";""\n'
    ).sessions
    assert session.duration_seconds == 1200
    assert session.exercises[0].sets[0].weight_kg == 4.5359237


def test_a_hevy_file_is_read_whole() -> None:
    file = read("hevy.csv")
    assert file.source is Source.HEVY
    [session] = file.sessions
    assert session.start == datetime(2024, 3, 31, 2, 30)
    assert (session.name, session.notes) == ("Rings", "In the park")
    assert session.duration_seconds == 75 * 60
    dip, l_sit = session.exercises
    assert (dip.superset, dip.notes) == ("0", "Turn out")
    assert dip.sets == (
        ImportedSet(line=2, reps=5, is_warm_up=True),
        ImportedSet(line=3, reps=6, weight_kg=11.33980925, rpe=8),
    )
    assert l_sit.sets == (ImportedSet(line=4, seconds=15),)


def test_a_fitnotes_file_is_read_whole_each_day_from_noon() -> None:
    file = read("fitnotes.csv")
    assert file.source is Source.FITNOTES
    first, second = file.sessions
    assert [s.start for s in file.sessions] == [
        datetime(2024, 3, 28, 12),
        datetime(2024, 3, 29, 12),
    ]
    assert (first.name, first.duration_seconds, first.notes) == ("", None, "")
    assert first.exercises[1].sets == (ImportedSet(line=3, reps=5, weight_kg=7.5, notes="Slow"),)
    assert first.exercises[2].sets[0].seconds == 90
    assert second.exercises[0].name == "Chin Up"


@pytest.mark.parametrize(("unit", "kilograms"), [("kgs", 10), ("lbs", 4.5359237)])
def test_a_fitnotes_file_may_have_its_unit_beside_the_weight(unit: str, kilograms: float) -> None:
    header = "Date,Exercise,Category,Weight,Weight Unit,Reps,Distance,Distance Unit,Time\n"
    file = read_file(f"{header}2024-06-01,Pull Up,Back,10,{unit},5,,,\n".encode())
    assert file.sessions[0].exercises[0].sets[0].weight_kg == kilograms


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1h 5m", 3900),
        ("2h", 7200),
        ("45m", 2700),
        ("30s", 30),
        ("1h 2m 3s", 3723),
        ("1:05:00", 3900),
        ("5:30", 330),
        ("90", 90),
        ("", None),
        ("0m", None),
    ],
)
def test_durations_are_read_as_the_apps_write_them(written: str, seconds: int | None) -> None:
    row = f"2024-03-26 18:05:00,A,{written},Pull Up,1,0,5,0,0,,,"
    assert strong(row).sessions[0].duration_seconds == seconds


@pytest.mark.parametrize(
    "written",
    ["2024-03-28 17:29:00", "2024-03-28 17:29", "2024-03-28 5:29:00 PM", "28 Mar 2024, 17:29"],
)
def test_times_are_read_as_the_apps_write_them(written: str) -> None:
    row = f'"{written}",A,1h,Pull Up,1,0,5,0,0,,,'
    assert strong(row).sessions[0].start == datetime(2024, 3, 28, 17, 29)


def test_zero_is_how_the_apps_write_nothing() -> None:
    assert strong_set(weight="0.0", reps="0", seconds="20") == ImportedSet(line=2, seconds=20)


def test_a_byte_order_mark_and_windows_line_ends_are_no_harm() -> None:
    data = b"\xef\xbb\xbf" + (DATA / "hevy.csv").read_bytes().replace(b"\n", b"\r\n")
    assert read_file(data) == read("hevy.csv")


def test_sessions_at_the_same_time_under_other_names_are_two() -> None:
    row = "2024-03-26 18:05:00,{},1h,Pull Up,1,0,5,0,0,,,"
    assert [s.name for s in strong(row.format("A"), row.format("B")).sessions] == ["A", "B"]


def test_the_oldest_session_comes_first() -> None:
    row = "2024-03-{} 18:05:00,A,1h,Pull Up,1,0,5,0,0,,,"
    days = [s.start.day for s in strong(row.format(28), row.format(26)).sessions]
    assert days == [26, 28]


def test_an_exercise_done_twice_in_a_session_stays_in_two_places() -> None:
    row = "2024-03-26 18:05:00,A,1h,{},1,0,5,0,0,,,"
    [session] = strong(*[row.format(n) for n in ("Dip", "Pull Up", "Dip")]).sessions
    assert [exercise.name for exercise in session.exercises] == ["Dip", "Pull Up", "Dip"]


# Wrong files


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"reps": "many"}, 'line 2, column "Reps": "many" is not a number'),
        ({"reps": "2.5"}, 'line 2, column "Reps": "2.5" is not a whole number'),
        ({"reps": "-2"}, 'line 2, column "Reps": "-2" is not a whole number'),
        ({"weight": "nan"}, 'line 2, column "Weight": "nan" is not a number'),
        ({"seconds": "-1"}, 'line 2, column "Seconds": "-1" is not a length of time'),
        ({"seconds": "soon"}, 'line 2, column "Seconds": "soon" is not a length of time'),
        ({"order": ""}, 'line 2, column "Set Order": must not be empty'),
        (
            {"order": "X"},
            'line 2, column "Set Order": "x" is not a number, W, D, F, "Note" or "Rest Timer"',
        ),
    ],
)
def test_a_wrong_cell_is_named_by_line_and_column(cells: dict[str, object], said: str) -> None:
    with pytest.raises(FileError) as caught:
        strong_set(**cells)
    assert str(caught.value) == said


def test_lines_are_counted_through_cells_of_many_lines() -> None:
    rows = '2024-03-26 18:05:00,A,1h,Dip,1,0,5,0,0,"one\ntwo",,\n2024-03-26,A,1h,Dip,1,0,x,0,0,,,'
    assert failure(STRONG + rows).startswith('line 4, column "Reps": ')


def test_a_month_in_another_language_is_named_with_what_to_do() -> None:
    said = failure((DATA / "hevy.csv").read_text().replace("31 Mar 2024", "31 märz 2024"))
    assert said.startswith('line 2, column "start_time": "31 märz 2024, 02:30" is not a time')
    assert said.endswith("set the app to English and export again")


def test_a_day_that_there_is_not_is_wrong() -> None:
    said = failure((DATA / "hevy.csv").read_text().replace("31 Mar", "31 Feb"))
    assert said.startswith('line 2, column "start_time": ')


def test_a_file_that_names_no_unit_needs_one() -> None:
    with pytest.raises(FileError) as caught:
        read("strong.csv")
    assert str(caught.value) == (
        'line 3, column "Weight": the file does not say in which unit: give --weight-unit kg or lb'
    )


def test_an_unknown_unit_is_wrong() -> None:
    header = "Date,Exercise,Category,Weight,Weight Unit,Reps\n"
    said = failure(f"{header}2024-06-01,Pull Up,Back,10,stone,5\n")
    assert said == 'line 2, column "Weight Unit": "stone" is neither kg nor lbs'


def test_a_row_that_is_cut_off_is_wrong() -> None:
    said = failure(STRONG + "2024-03-26 18:05:00,A,1h,Pull Up")
    assert said == 'line 2, column "Exercise Name": the row has 4 columns, the header 12'


@pytest.mark.parametrize("data", ["", "name,email\na,b\n"])
def test_a_header_of_no_app_is_wrong(data: str) -> None:
    said = failure(data)
    assert said.startswith("line 1: the header is none that Strong, Hevy or FitNotes writes")


def test_a_named_app_must_have_written_the_file() -> None:
    said = failure((DATA / "hevy.csv").read_bytes(), Source.STRONG)
    assert said == 'line 1: the header has no column "date", which strong writes'


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"Date,Exercise\n\xff\xfe", "line 2: this is not text in UTF-8"),
        (b"Date,date\n", "line 1: two columns have the same name"),
        (b"Date,Exercise\n" + b"x" * 200_000, "line 2: field larger than field limit (131072)"),
    ],
)
def test_what_is_no_table_is_wrong(data: bytes, said: str) -> None:
    assert failure(data, Source.FITNOTES) == said


# Matching


def catalogue() -> list[exercise_pb2.Exercise]:
    return [
        exercise_pb2.Exercise(
            id=str(e.id),
            slug=e.slug,
            display_name=e.display_name,
            aliases=e.aliases,
            movement_kind=exercise_pb2.MovementKind.Value(f"MOVEMENT_KIND_{e.movement_kind}"),
        )
        for e in load_catalogue()
    ]


CATALOGUE = catalogue()
BY_SLUG = {exercise.slug: exercise for exercise in CATALOGUE}


def match(name: str, *, weight: bool = False, found: Sequence[str] = ()) -> Match | None:
    """Matches a name, while the service's search finds these slugs."""
    matcher = Matcher(CATALOGUE, lambda _: [BY_SLUG[slug] for slug in found])
    return matcher.match(AppExercise(name, weight))


@pytest.mark.parametrize(
    ("name", "slug", "how"),
    [
        ("Pull Up", "pull-up", How.SLUG),
        ("pull-ups", "pull-up", How.SLUG),
        ("Pullups", "pull-up", How.SLUG),
        ("Pull Up (Bodyweight)", "pull-up", How.SLUG),
        ("Squat (Bodyweight)", "bodyweight-squat", How.SLUG),
        ("Push Up (Weighted)", "push-up", How.SLUG),
        ("Forearm Plank", "plank", How.NAME),
        ("Inverted Row (Bodyweight)", "horizontal-row", How.ALIAS),
        ("Chest Dip", "parallel-bar-dip", How.ALIAS),
        ("Triceps Dip", "parallel-bar-dip", How.ALIAS),
        ("Nordic Hamstrings Curls", "nordic-curl", How.ALIAS),
        ("Pull Up (Band)", "band-assisted-pull-up", How.ALIAS),
        ("Toes to Bar", "toes-to-bar", How.SLUG),
        ("L-Sit Hold", "l-sit", How.ALIAS),
    ],
)
def test_names_are_matched_whatever_their_spelling(name: str, slug: str, how: How) -> None:
    assert match(name) == Match(BY_SLUG[slug], how)


def test_the_catalogues_own_names_are_matched_with_themselves() -> None:
    for exercise in CATALOGUE:
        for name in (exercise.slug, exercise.display_name):
            assert match(name) is not None, name
            assert match(name).exercise is exercise  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["Pull Up (Assisted)", "Assisted Pull-Up"])
def test_assistance_that_is_known_is_a_load_of_the_plain_exercise(name: str) -> None:
    assert match(name, weight=True) == Match(BY_SLUG["pull-up"], How.SLUG)
    assert match(name) == Match(BY_SLUG["band-assisted-pull-up"], How.ALIAS)


@pytest.mark.parametrize("name", ["Squat (Barbell)", "Calf Raise (Machine)", "Lunge", "()", "懸垂"])
def test_another_exercise_is_not_taken_for_one_of_the_catalogue(name: str) -> None:
    assert match(name, found=["bodyweight-squat", "calf-raise", "reverse-lunge"]) is None


def test_a_slip_of_the_keys_is_matched_by_the_services_search() -> None:
    found = match("Hadstand Walk", found=["handstand-walk", "freestanding-handstand"])
    assert found == Match(BY_SLUG["handstand-walk"], How.SIMILAR)


def test_of_two_that_are_as_alike_none_is_taken() -> None:
    assert match("Tuck Lver", found=["tuck-front-lever"]) is not None
    twin = exercise_pb2.Exercise(slug="tuck-laver", display_name="Tuck Laver")
    matcher = Matcher(CATALOGUE, lambda _: [BY_SLUG["tuck-front-lever"], twin])
    assert matcher.match(AppExercise("Tuck Lver", has_weight=False)) is None


def test_words_that_are_merely_alike_are_other_words() -> None:
    assert match("Seated Row", found=["feet-elevated-row", "horizontal-row"]) is None


def test_a_name_of_two_exercises_is_matched_with_neither() -> None:
    twins = [exercise_pb2.Exercise(slug=s, display_name="Twin") for s in ("one", "two")]
    assert Matcher(twins, lambda _: twins).match(AppExercise("Twin", has_weight=False)) is None


# Sessions


def an_exercise(name: str, *sets: ImportedSet) -> ImportedExercise:
    return ImportedExercise(name=name, sets=sets)


def a_session(*exercises: ImportedExercise, hour: int = 18) -> ImportedSession:
    return ImportedSession(start=datetime(2024, 3, 26, hour), exercises=exercises)


def drafted(
    imported: ImportedSession,
    zone: ZoneInfo = BERLIN,
    athlete: uuid.UUID = ATHLETE,
    source: Source = Source.STRONG,
) -> Draft:
    matches = {
        exercise.name: found
        for exercise in imported.exercises
        if (found := match(exercise.name, weight=any(s.weight_kg for s in exercise.sets)))
    }
    return Drafter(athlete, source, zone, matches).draft(imported)


def sets_of(draft: Draft) -> list[session_pb2.PerformedSet]:
    assert draft.request is not None
    return [one for exercise in draft.request.session.exercises for one in exercise.sets]


def test_a_session_says_what_the_file_says_and_no_more() -> None:
    [imported] = read("hevy.csv").sessions
    request = drafted(imported).request
    assert request is not None
    session = request.session
    assert session.start_time.ToDatetime(tzinfo=UTC) == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
    assert (session.time_zone, session.duration_seconds) == ("Europe/Berlin", 4500)
    assert session.notes == "Rings\n\nIn the park"
    dip, l_sit = session.exercises
    assert (dip.exercise_id, dip.superset_group, dip.notes) == (
        BY_SLUG["ring-dip"].id,
        "0",
        "Turn out",
    )
    assert list(dip.sets) == [
        session_pb2.PerformedSet(kind=set_pb2.SET_KIND_WARM_UP, actual_reps=5),
        session_pb2.PerformedSet(actual_reps=6, load_kg=11.33980925, rpe=8),
    ]
    assert list(l_sit.sets) == [session_pb2.PerformedSet(actual_hold_seconds=15)]
    assert not session.HasField("session_rpe")


def test_assistance_is_a_negative_load() -> None:
    one = ImportedSet(line=2, reps=5, weight_kg=20)
    assert sets_of(drafted(a_session(an_exercise("Chin Up (Assisted)", one)))) == [
        session_pb2.PerformedSet(actual_reps=5, load_kg=-20)
    ]


@pytest.mark.parametrize(
    ("name", "one", "reason"),
    [
        ("Burpee", ImportedSet(line=7, reps=5), "not in the catalogue"),
        ("Plank", ImportedSet(line=7, reps=5), "held, but has repetitions only"),
        ("Dip", ImportedSet(line=7, seconds=5), "counted, but has seconds only"),
        ("Dip", ImportedSet(line=7), "neither repetitions nor seconds"),
    ],
)
def test_what_cannot_be_logged_is_left_out_and_named(
    name: str, one: ImportedSet, reason: str
) -> None:
    fit = an_exercise("Pull Up", ImportedSet(line=6, reps=5))
    draft = drafted(a_session(fit, an_exercise(name, one)))
    assert [(o.line, o.exercise, o.reason) for o in draft.omissions] == [(7, name, reason)]
    assert sets_of(draft) == [session_pb2.PerformedSet(actual_reps=5)]
    alone = drafted(a_session(an_exercise(name, one)))
    assert alone.request is None
    assert alone.omissions == draft.omissions


def test_a_set_that_is_assisted_by_nobody_knows_how_much_is_left_out() -> None:
    sets = ImportedSet(line=2, reps=5, weight_kg=20), ImportedSet(line=3, reps=5)
    draft = drafted(a_session(an_exercise("Dip (Assisted)", *sets)))
    assert [o.reason for o in draft.omissions] == ["assisted, but not by how much"]
    assert len(sets_of(draft)) == 1


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2024, 7, 1, 18), datetime(2024, 7, 1, 16, tzinfo=UTC)),
        (datetime(2024, 3, 31, 2, 30), datetime(2024, 3, 31, 1, 30, tzinfo=UTC)),  # skipped
        (datetime(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),  # twice
    ],
)
def test_a_local_time_is_put_into_its_zone(local: datetime, utc: datetime) -> None:
    assert instant(local, BERLIN) == utc


def test_a_skipped_hour_moves_forward() -> None:
    moved = instant(datetime(2024, 3, 31, 2, 30), BERLIN).astimezone(BERLIN)
    assert moved.replace(tzinfo=None) == datetime(2024, 3, 31, 3, 30)


def request_id(draft: Draft) -> str:
    assert draft.request is not None
    return draft.request.request_id


def test_the_request_id_is_that_of_athlete_app_and_content() -> None:
    given = a_session(an_exercise("Pull Up", ImportedSet(line=2, reps=5)))
    elsewhere = a_session(an_exercise("Pull Up", ImportedSet(line=90, reps=5)))
    other = a_session(an_exercise("Pull Up", ImportedSet(line=2, reps=6)))
    first = request_id(drafted(given))
    # Pinned: if it changes, what was imported before is stored a second time.
    assert first == "bdfd9b52-6f9d-5d7d-b00a-06319a563a98"
    assert request_id(drafted(elsewhere)) == first
    assert request_id(drafted(given, ZoneInfo("Asia/Tokyo"))) == first
    different = [
        request_id(drafted(other)),
        request_id(drafted(given, athlete=uuid.UUID(int=1))),
        request_id(drafted(given, source=Source.HEVY)),
    ]
    assert len({first, *different}) == 4


def a_request(sets: int) -> session_pb2.LogSessionRequest:
    exercise = session_pb2.SessionExercise(sets=[session_pb2.PerformedSet()] * sets)
    return session_pb2.LogSessionRequest(session=session_pb2.Session(exercises=[exercise]))


@pytest.mark.parametrize(
    ("sets", "sizes"),
    [([], []), ([1] * 5, [3, 2]), ([6, 6, 1], [1, 2]), ([20, 1], [1, 1]), ([5, 5], [2])],
)
def test_batches_are_bounded_in_sessions_and_sets(sets: list[int], sizes: list[int]) -> None:
    found = [len(batch) for batch in batches(map(a_request, sets), 3, 10)]
    assert found == sizes
