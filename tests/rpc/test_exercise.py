"""ExerciseService over a real channel.

The database is shared, so a test that writes adds exercises of its own, in a family of its own,
and links them to one another only; what is said of the catalogue leaves such exercises aside.
"""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2 as pb
from calisthenics.training.v1 import session_pb2, workout_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.conftest import seed
from tests.support import (
    PULL_UP,
    Athlete,
    a_session,
    a_workout,
    at,
    forged_token,
    refused,
    running_service,
)
from training_service.catalogue import load_catalogue
from training_service.domain.exercise import Exercise, exercise_id
from training_service.storage.migrations import migrate

CATALOGUE = {str(e.id): e for e in load_catalogue()}
NOBODY = "00000000-0000-4000-8000-000000000000"
Code = grpc.StatusCode


def unique(word: str = "zq") -> str:
    """Returns a slug or family that nothing else has."""
    return f"{word}-{uuid.uuid4().hex[:16]}"


def an_exercise(**fields: Any) -> pb.Exercise:
    """Returns a dynamic exercise with a slug of its own; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "slug": unique(),
        "display_name": "Zq",
        "category": pb.EXERCISE_CATEGORY_PULL,
        "difficulty": 5,
        "movement_kind": pb.MOVEMENT_KIND_DYNAMIC,
        "primary_muscles": [pb.MUSCLE_LATS],
        "bodyweight_fraction": 0.5,
    }
    return pb.Exercise(**{**usual, **fields})


def get(athlete: Athlete, name: str) -> pb.Exercise:
    return athlete.exercises.GetExercise(pb.GetExerciseRequest(exercise=name))


def create(admin: Athlete, request_id: str = "", **fields: Any) -> pb.Exercise:
    return admin.exercises.CreateExercise(
        pb.CreateExerciseRequest(exercise=an_exercise(**fields), request_id=request_id)
    )


def update(
    admin: Athlete,
    exercise_id: str,
    *mask: str,
    request_id: str = "",
    **fields: Any,
) -> pb.Exercise:
    """Updates the fields given, unless a mask says otherwise."""
    return admin.exercises.UpdateExercise(
        pb.UpdateExerciseRequest(
            exercise_id=exercise_id,
            exercise=pb.Exercise(**fields),
            update_mask=FieldMask(paths=mask or list(fields)),
            request_id=request_id,
        )
    )


def deprecate(admin: Athlete, exercise_id: str, **fields: Any) -> pb.Exercise:
    return admin.exercises.DeprecateExercise(
        pb.DeprecateExerciseRequest(exercise_id=exercise_id, **fields)
    )


def listed(athlete: Athlete, **filters: Any) -> list[pb.Exercise]:
    """Lists on one page as large as there can be."""
    request = pb.ListExercisesRequest(**{"page_size": 1000, **filters})
    response = athlete.exercises.ListExercises(request)
    assert not response.next_page_token
    return list(response.exercises)


def paged(athlete: Athlete, page_size: int, **filters: Any) -> list[pb.Exercise]:
    """Lists page by page; no page but the last may be short."""
    found: list[pb.Exercise] = []
    token = ""
    while True:
        page = athlete.exercises.ListExercises(
            pb.ListExercisesRequest(page_size=page_size, page_token=token, **filters)
        )
        found += page.exercises
        token = page.next_page_token
        if not token:
            assert len(page.exercises) <= page_size
            return found
        assert len(page.exercises) == page_size


def from_catalogue(exercises: list[pb.Exercise]) -> list[str]:
    """Returns the slugs of those exercises that no test has added."""
    return [e.slug for e in exercises if e.id in CATALOGUE]


def two_page_token(athlete: Athlete, **filters: Any) -> str:
    """Returns the token of a second page."""
    request = pb.ListExercisesRequest(page_size=2, **filters)
    token: str = athlete.exercises.ListExercises(request).next_page_token
    assert token
    return token


# Reading


@pytest.mark.parametrize("name", [PULL_UP, PULL_UP.upper(), "pull-up", "Pull-Up", "PULL-UP"])
def test_an_exercise_is_found_by_id_and_by_slug_in_any_case(alice: Athlete, name: str) -> None:
    found = get(alice, name)
    assert (found.id, found.slug) == (PULL_UP, "pull-up")


def test_an_exercise_of_the_catalogue_has_all_that_the_catalogue_says(alice: Athlete) -> None:
    expected = CATALOGUE[PULL_UP]
    found = get(alice, "pull-up")
    assert (found.display_name, found.difficulty) == (expected.display_name, expected.difficulty)
    assert found.category == pb.EXERCISE_CATEGORY_PULL
    assert found.movement_kind == pb.MOVEMENT_KIND_DYNAMIC
    assert found.contraction_emphasis == pb.CONTRACTION_EMPHASIS_BALANCED
    assert list(found.aliases) == list(expected.aliases)
    assert list(found.equipment) == [pb.EQUIPMENT_PULL_UP_BAR]
    assert list(found.cues) == list(expected.cues)
    assert (found.family, found.description) == (expected.family, expected.description)
    assert found.bodyweight_fraction == expected.bodyweight_fraction
    assert set(found.easier_exercise_ids) == set(map(str, expected.easier_ids))
    assert set(found.harder_exercise_ids) == set(map(str, expected.harder_ids))
    assert (found.state, found.replaced_by_exercise_id) == (pb.EXERCISE_STATE_ACTIVE, "")
    assert found.etag


@pytest.mark.parametrize("name", ["no-such-exercise", NOBODY])
def test_an_exercise_that_does_not_exist_is_not_found(alice: Athlete, name: str) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        get(alice, name)
    assert refusals[0].fields == ["exercise"]


@pytest.mark.parametrize("name", ["", "pull up", "pull_up", "x" * 65, "pull-up\n"])
def test_what_can_be_neither_id_nor_slug_is_refused(alice: Athlete, name: str) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        get(alice, name)
    assert refusals[0].fields == ["exercise"]


def batch(athlete: Athlete, *names: str) -> list[pb.Exercise]:
    response = athlete.exercises.BatchGetExercises(pb.BatchGetExercisesRequest(exercises=names))
    return list(response.exercises)


def test_a_batch_comes_in_the_order_asked_for(alice: Athlete) -> None:
    found = batch(alice, "push-up", PULL_UP.upper(), "L-SIT", "push-up")
    assert [e.slug for e in found] == ["push-up", "pull-up", "l-sit", "push-up"]
    assert found[1] == get(alice, "pull-up")


def test_one_missing_exercise_refuses_the_batch_and_is_named(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        batch(alice, "push-up", PULL_UP, "no-such-exercise", "l-sit")
    assert refusals[0].fields == ["exercises[2]"]


def test_all_missing_exercises_of_a_batch_are_named(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        batch(alice, "no-such-exercise", "push-up", NOBODY)
    assert refusals[0].fields == ["exercises[0]", "exercises[2]"]


def test_a_batch_finds_what_a_single_call_finds(alice: Athlete) -> None:
    bare = PULL_UP.replace("-", "")
    assert batch(alice, bare) == [get(alice, bare)]


def test_an_empty_batch_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        batch(alice)
    assert refusals[0].fields == ["exercises"]


# Listing


def test_without_filters_the_whole_catalogue_is_listed_easiest_first(alice: Athlete) -> None:
    found = listed(alice)
    difficulties = [e.difficulty for e in found]
    assert difficulties == sorted(difficulties)
    assert sorted(from_catalogue(found)) == sorted(e.slug for e in CATALOGUE.values())


def test_an_exercise_is_listed_as_it_is_read(alice: Athlete) -> None:
    [found] = [e for e in listed(alice, family="pull-up") if e.id == PULL_UP]
    assert found == get(alice, PULL_UP)


def test_a_page_has_fifty_exercises_unless_told(alice: Athlete) -> None:
    page = alice.exercises.ListExercises(pb.ListExercisesRequest())
    assert list(page.exercises) == listed(alice)[:50]
    assert page.next_page_token


def needs(*names: str) -> Callable[[Exercise], bool]:
    return lambda e: set(e.equipment) <= set(names)


FILTERS: dict[str, tuple[dict[str, Any], Callable[[Exercise], bool]]] = {
    "one category": (
        {"categories": [pb.EXERCISE_CATEGORY_CORE]},
        lambda e: e.category == "CORE",
    ),
    "any of several categories": (
        {"categories": [pb.EXERCISE_CATEGORY_LEGS, pb.EXERCISE_CATEGORY_SKILL]},
        lambda e: e.category in ("LEGS", "SKILL"),
    ),
    "a muscle, primary or secondary": (
        {"muscles": [pb.MUSCLE_BICEPS]},
        lambda e: "BICEPS" in (*e.primary_muscles, *e.secondary_muscles),
    ),
    "any of several muscles": (
        {"muscles": [pb.MUSCLE_TIBIALIS, pb.MUSCLE_CALVES]},
        lambda e: bool({"TIBIALIS", "CALVES"} & {*e.primary_muscles, *e.secondary_muscles}),
    ),
    "rings at hand": ({"equipment_at_hand": [pb.EQUIPMENT_RINGS]}, needs("RINGS")),
    "several things at hand": (
        {"equipment_at_hand": [pb.EQUIPMENT_BOX, pb.EQUIPMENT_WALL, pb.EQUIPMENT_PARALLETTES]},
        needs("BOX", "WALL", "PARALLETTES"),
    ),
    "nothing but the floor": ({"equipment_at_hand": [pb.EQUIPMENT_NONE]}, needs()),
    "rings or nothing": (
        {"equipment_at_hand": [pb.EQUIPMENT_RINGS, pb.EQUIPMENT_NONE]},
        needs("RINGS"),
    ),
    "a least difficulty": ({"min_difficulty": 12}, lambda e: e.difficulty >= 12),
    "a greatest difficulty": ({"max_difficulty": 2}, lambda e: e.difficulty <= 2),
    "a range of difficulty": (
        {"min_difficulty": 4, "max_difficulty": 6},
        lambda e: 4 <= e.difficulty <= 6,
    ),
    "one difficulty": (
        {"min_difficulty": 20, "max_difficulty": 20},
        lambda e: e.difficulty == 20,
    ),
    "holds": (
        {"movement_kind": pb.MOVEMENT_KIND_ISOMETRIC},
        lambda e: e.movement_kind == "ISOMETRIC",
    ),
    "movements": (
        {"movement_kind": pb.MOVEMENT_KIND_DYNAMIC},
        lambda e: e.movement_kind == "DYNAMIC",
    ),
    "a family": ({"family": "planche"}, lambda e: e.family == "planche"),
    "all of several filters": (
        {
            "categories": [pb.EXERCISE_CATEGORY_PUSH, pb.EXERCISE_CATEGORY_SKILL],
            "muscles": [pb.MUSCLE_FRONT_DELTS],
            "equipment_at_hand": [pb.EQUIPMENT_PARALLETTES],
            "min_difficulty": 4,
            "max_difficulty": 9,
            "movement_kind": pb.MOVEMENT_KIND_ISOMETRIC,
            "states": [pb.EXERCISE_STATE_ACTIVE],
        },
        lambda e: (
            e.category in ("PUSH", "SKILL")
            and "FRONT_DELTS" in (*e.primary_muscles, *e.secondary_muscles)
            and set(e.equipment) <= {"PARALLETTES"}
            and 4 <= e.difficulty <= 9
            and e.movement_kind == "ISOMETRIC"
        ),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_keeps_what_fits_and_the_order(alice: Athlete, name: str) -> None:
    filters, fits = FILTERS[name]
    everything = [CATALOGUE[e.id] for e in listed(alice) if e.id in CATALOGUE]
    expected = [e.slug for e in everything if fits(e)]
    assert 0 < len(expected) < len(everything)
    assert from_catalogue(listed(alice, **filters)) == expected


def test_muscles_are_looked_for_among_primary_and_secondary_ones(
    admin: Athlete, alice: Athlete
) -> None:
    family = unique("family")
    main = create(admin, family=family, primary_muscles=[pb.MUSCLE_CHEST])
    helper = create(
        admin,
        family=family,
        primary_muscles=[pb.MUSCLE_LATS],
        secondary_muscles=[pb.MUSCLE_CHEST],
    )
    create(admin, family=family, primary_muscles=[pb.MUSCLE_LATS])
    found = listed(alice, family=family, muscles=[pb.MUSCLE_CHEST])
    assert {e.id for e in found} == {main.id, helper.id}


def test_states_are_active_unless_told(admin: Athlete, alice: Athlete) -> None:
    family = unique("family")
    kept = create(admin, family=family, difficulty=1)
    gone = deprecate(admin, create(admin, family=family, difficulty=2).id)
    deprecated = [pb.EXERCISE_STATE_DEPRECATED]
    both = [pb.EXERCISE_STATE_ACTIVE, pb.EXERCISE_STATE_DEPRECATED]
    assert listed(alice, family=family) == [kept]
    assert listed(alice, family=family, states=deprecated) == [gone]
    assert listed(alice, family=family, states=both) == [kept, gone]
    assert gone not in listed(alice)


def test_a_filter_that_nothing_fits_lists_nothing(alice: Athlete) -> None:
    assert listed(alice, family="no-such-family") == []


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"categories": [0]}, "categories[0]"),
        ({"categories": [1, 77]}, "categories[1]"),
        ({"muscles": [0]}, "muscles[0]"),
        ({"equipment_at_hand": [2, 0]}, "equipment_at_hand[1]"),
        ({"min_difficulty": 0}, "min_difficulty"),
        ({"max_difficulty": 21}, "max_difficulty"),
        ({"movement_kind": 9}, "movement_kind"),
        ({"states": [0]}, "states[0]"),
        ({"family": "Pull Up"}, "family"),
        ({"query": "x" * 101}, "query"),
        ({"query": "pull\nup"}, "query"),
        ({"page_token": "x" * 1001}, "page_token"),
    ],
)
def test_a_filter_outside_its_range_is_refused(
    alice: Athlete, filters: dict[str, Any], field: str
) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        alice.exercises.ListExercises(pb.ListExercisesRequest(**filters))
    assert refusals[0].fields == [field]


def test_a_range_of_difficulty_upside_down_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        listed(alice, min_difficulty=7, max_difficulty=6)
    assert refusals[0].message == "min_difficulty must not be above max_difficulty"


# Search


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("bakasana", "straight-arm-frog-stand"),
        ("crow pose", "frog-stand"),
        ("t2b", "toes-to-bar"),
        ("c2b", "chest-to-bar-pull-up"),
        ("oac", "one-arm-chin-up"),
        ("pppu", "pseudo-planche-push-up"),
        ("FL", "front-lever"),
        ("adv tuck fl", "advanced-tuck-front-lever"),
        ("pushup", "push-up"),
        ("chinup", "chin-up"),
        ("muscleup", "bar-muscle-up-strict"),
        ("muscle up", "bar-muscle-up-strict"),
        ("  Muscle-Up  ", "bar-muscle-up-strict"),
        ("lsit", "l-sit"),
        ("plnche", "full-planche"),
        ("handstnad", "freestanding-handstand"),
        ("frnt lever", "front-lever"),
        ("cossak squat", "cossack-squat"),
        ("austrailian pullup", "horizontal-row"),
        ("dragonflag", "dragon-flag"),
        ("maltes", "maltese"),
        ("tuck planche", "tuck-planche"),
    ],
)
def test_a_search_gives_the_best_match_first(alice: Athlete, query: str, slug: str) -> None:
    assert from_catalogue(listed(alice, query=query))[0] == slug


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("pull up", "pull-up"),
        ("pull-ups", "pull-up"),
        ("pullup", "pull-up"),
        ("pulup", "pull-up"),
        ("chin up", "chin-up"),
        ("push-ups", "push-up"),
        ("press up", "push-up"),
        ("hspu", "freestanding-handstand-push-up"),
        ("planche", "full-planche"),
        ("planch", "full-planche"),
        ("l-sit", "l-sit"),
        ("pistol", "pistol-squat"),
        ("dips", "parallel-bar-dip"),
        ("squat", "bodyweight-squat"),
        ("noridc curl", "nordic-curl"),
        ("iron cros", "iron-cross"),
        ("human flag", "human-flag"),
    ],
)
def test_a_search_for_a_common_name_gives_that_exercise_first(
    alice: Athlete, query: str, slug: str
) -> None:
    assert from_catalogue(listed(alice, query=query))[0] == slug


def first_found(athlete: Athlete, query: str) -> str:
    page = athlete.exercises.ListExercises(pb.ListExercisesRequest(query=query, page_size=1))
    return page.exercises[0].slug if page.exercises else ""


def test_an_exercise_comes_first_when_asked_for_by_its_name(alice: Athlete) -> None:
    missed = {
        e.display_name: found
        for e in CATALOGUE.values()
        if (found := first_found(alice, e.display_name)) != e.slug
    }
    assert missed == {}


def test_an_exercise_is_found_by_its_slug_and_by_its_last_alias(alice: Athlete) -> None:
    # The other filters keep the answers small.
    missed = [
        query
        for e in CATALOGUE.values()
        for query in (e.slug.replace("-", " "), e.aliases[-1])
        if e.slug
        not in from_catalogue(
            listed(
                alice,
                query=query,
                family=e.family,
                min_difficulty=e.difficulty,
                max_difficulty=e.difficulty,
            )
        )
    ]
    assert missed == []


@pytest.mark.parametrize("query", ["xyzzy", "kettlebell", "%", "_", "'", "|"])
def test_a_search_for_what_is_no_exercise_finds_nothing(alice: Athlete, query: str) -> None:
    assert from_catalogue(listed(alice, query=query)) == []


def test_a_search_for_blanks_is_no_search(alice: Athlete) -> None:
    assert listed(alice, query="   ") == listed(alice)


def test_a_search_keeps_to_the_other_filters(alice: Athlete) -> None:
    found = listed(alice, query="planche", movement_kind=pb.MOVEMENT_KIND_ISOMETRIC)
    everything = listed(alice, query="planche")
    assert 0 < len(found) < len(everything)
    assert found == [e for e in everything if e.movement_kind == pb.MOVEMENT_KIND_ISOMETRIC]


def test_a_search_follows_a_change_of_names(admin: Athlete, alice: Athlete) -> None:
    exercise = create(admin, display_name="Wobblefrotz", family=unique("family"))
    assert [e.id for e in listed(alice, query="wobblefrots")] == [exercise.id]
    update(admin, exercise.id, display_name="Zq", aliases=["Gnarlquix"])
    assert listed(alice, query="wobblefrotz") == []
    assert [e.id for e in listed(alice, query="gnarlquix")] == [exercise.id]


# Paging


@pytest.mark.parametrize("page_size", [7, 50, 249, 250])
def test_pages_together_are_the_whole_listing(alice: Athlete, page_size: int) -> None:
    everything = listed(alice)
    assert len({e.id for e in everything}) == len(everything)
    assert paged(alice, page_size) == everything


def test_pages_of_one_are_the_whole_listing(alice: Athlete) -> None:
    assert paged(alice, 1, family="push-up") == listed(alice, family="push-up")


@pytest.mark.parametrize("page_size", [1, 3, 10, 70])
def test_pages_of_a_search_together_are_the_whole_search(alice: Athlete, page_size: int) -> None:
    everything = listed(alice, query="pull up")
    assert len({e.id for e in everything}) == len(everything) > 20
    assert paged(alice, page_size, query="pull up") == everything


def test_the_page_size_may_change_between_pages(alice: Athlete) -> None:
    token = two_page_token(alice)
    request = pb.ListExercisesRequest(page_size=5, page_token=token)
    assert list(alice.exercises.ListExercises(request).exercises) == listed(alice)[2:7]


def test_an_exercise_added_between_pages_disturbs_none_of_the_others(
    admin: Athlete, alice: Athlete
) -> None:
    family = unique("family")
    before = [create(admin, family=family, difficulty=n) for n in (3, 4, 5, 6)]
    token = two_page_token(alice, family=family)
    create(admin, family=family, difficulty=2)
    request = pb.ListExercisesRequest(page_size=2, page_token=token, family=family)
    assert list(alice.exercises.ListExercises(request).exercises) == before[2:]


@pytest.mark.parametrize(
    "changed",
    [
        {"query": "pull"},
        {"family": "planche"},
        {"max_difficulty": 5},
        {"states": [pb.EXERCISE_STATE_ACTIVE]},
    ],
)
def test_a_page_token_is_refused_when_the_filters_changed(
    alice: Athlete, changed: dict[str, Any]
) -> None:
    token = two_page_token(alice)
    with refused("INVALID_PAGE_TOKEN", Code.INVALID_ARGUMENT):
        alice.exercises.ListExercises(pb.ListExercisesRequest(page_token=token, **changed))


def test_a_page_token_of_another_listing_is_refused(alice: Athlete) -> None:
    for _ in range(2):
        alice.create_workout()
    workouts = alice.workouts.ListWorkouts(workout_pb2.ListWorkoutsRequest(page_size=1))
    assert workouts.next_page_token
    with refused("INVALID_PAGE_TOKEN", Code.INVALID_ARGUMENT):
        alice.exercises.ListExercises(pb.ListExercisesRequest(page_token=workouts.next_page_token))


@pytest.mark.parametrize(
    "token", ["x", "garbage", "é", "e30", "W10", "NQ", "bnVsbA", "{}", "AAAA", "[" * 900]
)
def test_a_page_token_that_is_garbage_is_refused(alice: Athlete, token: str) -> None:
    with refused("INVALID_PAGE_TOKEN", Code.INVALID_ARGUMENT):
        alice.exercises.ListExercises(pb.ListExercisesRequest(page_token=token))


@pytest.mark.parametrize(
    "key",
    [
        (),
        (0, 1),
        (0, 1, "a", 1),
        ("0", 1, "a"),
        (True, 1, "a"),
        (0.5, 1, "a"),
        (None, 1, "a"),
        (2**31, 1, "a"),
        (-(2**31), 1, "a"),
        (0, 2**15, "a"),
        (0, 1, "a\0"),
        (0, 1, "\ud800"),  # half a surrogate pair
    ],
)
def test_a_page_token_that_was_tampered_with_is_refused(
    alice: Athlete, key: tuple[Any, ...]
) -> None:
    token = forged_token(two_page_token(alice), *key)
    with refused("INVALID_PAGE_TOKEN", Code.INVALID_ARGUMENT):
        alice.exercises.ListExercises(pb.ListExercisesRequest(page_token=token))


def test_a_page_holds_a_thousand_exercises_at_most(make_database: Callable[[], str]) -> None:
    # In a database of its own: nobody else wants this many.
    url = make_database()
    migrate(url)
    seed(url)
    with psycopg.connect(url, autocommit=True) as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_schema = 'training' AND table_name = 'exercises'"
                " AND column_name NOT IN ('id', 'slug')"
            )
        ]
        columns = ", ".join(names)
        connection.execute(
            f"INSERT INTO training.exercises (id, slug, {columns})"
            f" SELECT gen_random_uuid(), 'filler-' || n, {columns}"
            " FROM training.exercises, generate_series(1, 1000) n WHERE slug = 'pull-up'"
        )
    with running_service(url) as service:
        athlete = Athlete(service.address)
        try:
            thousand = athlete.exercises.ListExercises(pb.ListExercisesRequest(page_size=1000))
            more = athlete.exercises.ListExercises(pb.ListExercisesRequest(page_size=2**31 - 1))
            assert len(thousand.exercises) == 1000
            assert more == thousand
            rest = athlete.exercises.ListExercises(
                pb.ListExercisesRequest(page_token=more.next_page_token, page_size=1001)
            )
            found = [e.id for e in (*more.exercises, *rest.exercises)]
            assert len(found) == len(set(found)) == 1000 + len(CATALOGUE)
        finally:
            athlete.close()


# Access

WRITES: dict[str, Callable[[Athlete], object]] = {
    "create": create,
    "update": lambda athlete: update(athlete, PULL_UP, display_name="Mine"),
    "deprecate": lambda athlete: deprecate(athlete, PULL_UP),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("caller", ["alice", "sibling"])
def test_only_administrators_write_the_catalogue(
    request: pytest.FixtureRequest, bob: Athlete, caller: str, write: str
) -> None:
    before = get(bob, PULL_UP)
    with refused("PERMISSION_DENIED", Code.PERMISSION_DENIED):
        WRITES[write](request.getfixturevalue(caller))
    assert get(bob, PULL_UP) == before


@pytest.mark.parametrize("write", WRITES)
def test_a_caller_without_identity_may_not_write(
    new_athlete: Callable[..., Athlete], write: str
) -> None:
    # A role without an identity is worth nothing.
    nobody = new_athlete(metadata={}, roles="admin")
    with refused("UNAUTHENTICATED", Code.UNAUTHENTICATED):
        WRITES[write](nobody)


def test_a_caller_without_identity_may_read(
    new_athlete: Callable[..., Athlete], alice: Athlete
) -> None:
    nobody = new_athlete(metadata={})
    assert get(nobody, "pull-up") == get(alice, "pull-up")
    assert batch(nobody, "pull-up") == batch(alice, "pull-up")
    assert listed(nobody, query="lever") == listed(alice, query="lever")


def test_a_caller_with_a_broken_identity_may_not_even_read(
    new_athlete: Callable[..., Athlete],
) -> None:
    broken = new_athlete(metadata={"x-external-user-id": "me"})
    with refused("UNAUTHENTICATED", Code.UNAUTHENTICATED):
        get(broken, "pull-up")


# Creating


def test_a_created_exercise_is_there_for_everyone(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    given = an_exercise(
        display_name="Zq Zq",
        aliases=["qz", "Zz"],
        family=unique("family"),
        unilateral=True,
        equipment=[pb.EQUIPMENT_TOWEL, pb.EQUIPMENT_BOX],
        primary_muscles=[pb.MUSCLE_LATS, pb.MUSCLE_ABS],
        secondary_muscles=[pb.MUSCLE_CALVES],
        contraction_emphasis=pb.CONTRACTION_EMPHASIS_ECCENTRIC,
        description="How.\nMore.",
        cues=["one", "two", "one"],
        image_id="picture/1",
    )
    created = admin.exercises.CreateExercise(pb.CreateExerciseRequest(exercise=given))
    assert get(alice, created.id) == get(bob, created.slug) == created
    for name in ("id", "state", "etag", "create_time", "update_time"):
        assert getattr(created, name)
        created.ClearField(name)
    assert created == given


def test_the_id_follows_from_the_slug(admin: Athlete) -> None:
    created = create(admin)
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, "exercises.training.calisthenics")
    assert created.id == str(uuid.uuid5(namespace, created.slug))


@pytest.mark.parametrize(
    ("kind", "emphasis"),
    [
        (pb.MOVEMENT_KIND_DYNAMIC, pb.CONTRACTION_EMPHASIS_BALANCED),
        (pb.MOVEMENT_KIND_ISOMETRIC, pb.CONTRACTION_EMPHASIS_ISOMETRIC),
    ],
)
def test_the_contraction_emphasis_defaults_to_what_the_kind_suggests(
    admin: Athlete, kind: Any, emphasis: int
) -> None:
    assert create(admin, movement_kind=kind).contraction_emphasis == emphasis


def test_fields_that_only_the_service_sets_are_ignored(admin: Athlete) -> None:
    slug = unique()
    created = create(
        admin,
        slug=slug,
        id=NOBODY,
        state=pb.EXERCISE_STATE_DEPRECATED,
        replaced_by_exercise_id=PULL_UP,
        etag="77",
        create_time=at("2001-01-01T00:00:00"),
        update_time=at("2001-01-01T00:00:00"),
    )
    assert created.id == str(exercise_id(slug))
    assert created.state == pb.EXERCISE_STATE_ACTIVE
    assert created.replaced_by_exercise_id == ""
    assert created.etag != "77"
    assert created.create_time == created.update_time
    assert created.create_time.seconds > at("2020-01-01T00:00:00").seconds
    assert get(admin, slug) == created


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"slug": ""}, "slug"),
        ({"slug": "Upper"}, "slug"),
        ({"slug": "a--b"}, "slug"),
        ({"slug": "x" * 65}, "slug"),
        ({"display_name": ""}, "display_name"),
        ({"aliases": ["a", ""]}, "aliases[1]"),
        ({"aliases": ["a", "a"]}, "aliases"),
        ({"category": 0}, "category"),
        ({"category": 99}, "category"),
        ({"family": "Not A Slug"}, "family"),
        ({"difficulty": 0}, "difficulty"),
        ({"difficulty": 21}, "difficulty"),
        ({"movement_kind": 0}, "movement_kind"),
        ({"contraction_emphasis": 9}, "contraction_emphasis"),
        ({"equipment": [pb.EQUIPMENT_NONE]}, "equipment[0]"),
        ({"equipment": [2, 2]}, "equipment"),
        ({"primary_muscles": []}, "primary_muscles"),
        ({"secondary_muscles": [1, 0]}, "secondary_muscles[1]"),
        ({"bodyweight_fraction": 1.01}, "bodyweight_fraction"),
        ({"bodyweight_fraction": -0.01}, "bodyweight_fraction"),
        ({"bodyweight_fraction": float("nan")}, "bodyweight_fraction"),
        ({"easier_exercise_ids": ["pull-up"]}, "easier_exercise_ids[0]"),
        ({"harder_exercise_ids": [PULL_UP, PULL_UP]}, "harder_exercise_ids"),
        ({"description": "a\0b"}, "description"),
        ({"cues": [""]}, "cues[0]"),
        ({"image_id": "a\tb"}, "image_id"),
    ],
)
def test_an_exercise_that_breaks_a_rule_is_refused(
    admin: Athlete, fields: dict[str, Any], field: str
) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        create(admin, **fields)
    assert refusals[0].fields == [f"exercise.{field}"]


def test_a_create_without_an_exercise_is_refused(admin: Athlete) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        admin.exercises.CreateExercise(pb.CreateExerciseRequest())
    assert refusals[0].fields == ["exercise"]


def test_an_exercise_with_a_taken_slug_is_refused(admin: Athlete, alice: Athlete) -> None:
    created = create(admin)
    with refused("EXERCISE_ALREADY_EXISTS", Code.ALREADY_EXISTS):
        create(admin, slug=created.slug, display_name="Another")
    assert get(alice, created.slug) == created


def test_of_two_that_take_one_slug_at_once_one_wins(admin: Athlete, alice: Athlete) -> None:
    slug = unique()

    def take(number: int) -> str:
        try:
            return create(admin, slug=slug, display_name=f"Zq {number}").display_name
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(take, range(4)))
    assert outcomes == ["ALREADY_EXISTS"] * 3 + [get(alice, slug).display_name]


def test_a_slug_that_reads_like_an_id_is_refused(admin: Athlete) -> None:
    # GetExercise could not tell which of the two is meant.
    victim = create(admin)
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        create(admin, slug=victim.id)
    assert refusals[0].fields == ["exercise.slug"]


def test_a_retry_gets_the_first_answer_even_after_a_change(admin: Athlete) -> None:
    request = pb.CreateExerciseRequest(exercise=an_exercise(), request_id=str(uuid.uuid4()))
    created = admin.exercises.CreateExercise(request)
    update(admin, created.id, display_name="Changed")
    assert admin.exercises.CreateExercise(request) == created
    assert get(admin, created.id).display_name == "Changed"


def test_a_request_id_can_not_be_used_for_another_exercise(admin: Athlete) -> None:
    request_id = str(uuid.uuid4())
    created = create(admin, request_id)
    with refused("REQUEST_ID_REUSED", Code.ALREADY_EXISTS) as refusals:
        create(admin, request_id, slug=created.slug, display_name="Other")
    assert refusals[0].metadata == {"request_id": request_id}
    with refused("REQUEST_ID_REUSED", Code.ALREADY_EXISTS):
        deprecate(admin, created.id, request_id=request_id)
    assert get(admin, created.id) == created


def test_a_refused_create_leaves_its_request_id_free(admin: Athlete) -> None:
    request_id = str(uuid.uuid4())
    taken = create(admin).slug
    with refused("EXERCISE_ALREADY_EXISTS"):
        create(admin, request_id, slug=taken)
    created = create(admin, request_id)
    assert get(admin, created.id) == created


@pytest.mark.parametrize("request_id", ["x", NOBODY[:-1]])
def test_a_request_id_must_be_a_uuid(admin: Athlete, request_id: str) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        create(admin, request_id)
    assert refusals[0].fields == ["request_id"]


# The progression graph


def test_an_edge_shows_at_both_ends(admin: Athlete, alice: Athlete) -> None:
    easy = create(admin, difficulty=4)
    hard = create(admin, difficulty=6)
    middle = create(
        admin, difficulty=5, easier_exercise_ids=[easy.id], harder_exercise_ids=[hard.id]
    )
    assert get(alice, middle.id) == middle
    assert list(middle.easier_exercise_ids) == [easy.id]
    assert list(middle.harder_exercise_ids) == [hard.id]
    assert list(get(alice, easy.id).harder_exercise_ids) == [middle.id]
    assert list(get(alice, hard.id).easier_exercise_ids) == [middle.id]


def neighbours(admin: Athlete) -> list[str]:
    """Returns the ids of two easy exercises, the greater one first."""
    return sorted((create(admin, difficulty=1).id for _ in range(2)), reverse=True)


def test_neighbours_are_answered_as_they_will_be_read(admin: Athlete) -> None:
    created = create(admin, easier_exercise_ids=neighbours(admin))
    assert get(admin, created.id) == created


def test_a_neighbour_named_twice_is_one_neighbour(admin: Athlete) -> None:
    easy = create(admin, difficulty=1).id
    created = create(admin, easier_exercise_ids=[easy, easy.upper()])
    assert list(get(admin, created.id).easier_exercise_ids) == [easy]
    assert get(admin, created.id) == created


@pytest.mark.parametrize("field", ["easier_exercise_ids", "harder_exercise_ids"])
def test_an_unknown_neighbour_is_refused(admin: Athlete, field: str) -> None:
    known = create(admin).id
    slug = unique()
    with refused("UNKNOWN_EXERCISE", Code.INVALID_ARGUMENT) as refusals:
        create(admin, slug=slug, **{field: [known, NOBODY]})
    assert refusals[0].fields == [f"exercise.{field}[1]"]
    with refused("EXERCISE_NOT_FOUND"):
        get(admin, slug)


def test_an_edge_may_stay_on_one_level(admin: Athlete) -> None:
    one = create(admin, difficulty=5)
    other = create(admin, difficulty=5, easier_exercise_ids=[one.id])
    assert list(get(admin, one.id).harder_exercise_ids) == [other.id]


def test_an_edge_to_an_easier_exercise_is_refused(admin: Athlete) -> None:
    hard = create(admin, difficulty=6)
    slug = unique()
    with refused("PROGRESSION_DIFFICULTY_DROP", Code.FAILED_PRECONDITION) as refusals:
        create(admin, slug=slug, difficulty=5, easier_exercise_ids=[hard.id])
    assert refusals[0].metadata == {
        "easier_exercise_id": hard.id,
        "harder_exercise_id": str(exercise_id(slug)),
    }
    with refused("PROGRESSION_DIFFICULTY_DROP", Code.FAILED_PRECONDITION):
        create(admin, slug=slug, difficulty=7, harder_exercise_ids=[hard.id])
    assert get(admin, hard.id) == hard


def test_an_exercise_can_not_lead_to_itself(admin: Athlete) -> None:
    slug = unique()
    itself = str(exercise_id(slug))
    with refused("PROGRESSION_CYCLE", Code.FAILED_PRECONDITION) as refusals:
        create(admin, slug=slug, harder_exercise_ids=[itself])
    assert refusals[0].metadata == {"exercise_ids": itself}


def test_edges_that_close_a_cycle_are_refused(admin: Athlete) -> None:
    first = create(admin)
    second = create(admin, easier_exercise_ids=[first.id])
    slug = unique()
    with refused("PROGRESSION_CYCLE", Code.FAILED_PRECONDITION) as refusals:
        create(admin, slug=slug, easier_exercise_ids=[second.id], harder_exercise_ids=[first.id])
    named = refusals[0].metadata["exercise_ids"].split(",")
    assert sorted(named) == sorted([first.id, second.id, str(exercise_id(slug))])
    with refused("PROGRESSION_CYCLE", Code.FAILED_PRECONDITION):
        create(admin, easier_exercise_ids=[first.id], harder_exercise_ids=[first.id])


# Updating


def test_an_update_changes_the_fields_in_the_mask_alone(admin: Athlete, alice: Athlete) -> None:
    before = create(admin, description="Old", cues=["old"])
    after = update(
        admin,
        before.id,
        "display_name",
        "cues",
        display_name="New",
        description="not in the mask",
        difficulty=20,
    )
    assert get(alice, before.id) == after
    assert after.etag != before.etag
    assert after.update_time != before.update_time
    expected = pb.Exercise()
    expected.CopyFrom(before)
    expected.display_name = "New"
    expected.ClearField("cues")
    expected.etag = after.etag
    expected.update_time.CopyFrom(after.update_time)
    assert after == expected


def test_a_star_replaces_all_that_can_be_changed(admin: Athlete) -> None:
    easy = create(admin, difficulty=1)
    before = create(
        admin,
        aliases=["old"],
        description="Old",
        unilateral=True,
        easier_exercise_ids=[easy.id],
    )
    given = an_exercise(id=NOBODY, state=pb.EXERCISE_STATE_DEPRECATED, display_name="New")
    after = admin.exercises.UpdateExercise(
        pb.UpdateExerciseRequest(
            exercise_id=before.id, exercise=given, update_mask=FieldMask(paths=["*"])
        )
    )
    given.id = before.id
    given.state = pb.EXERCISE_STATE_ACTIVE
    given.contraction_emphasis = pb.CONTRACTION_EMPHASIS_BALANCED
    given.etag = after.etag
    given.create_time.CopyFrom(before.create_time)
    given.update_time.CopyFrom(after.update_time)
    assert after == given == get(admin, before.id)
    assert not get(admin, easy.id).harder_exercise_ids


@pytest.mark.parametrize(
    "mask",
    [
        [],
        ["no_such_field"],
        ["id"],
        ["state"],
        ["replaced_by_exercise_id"],
        ["etag"],
        ["create_time"],
        ["display_name", "update_time"],
        ["*", "display_name"],
        ["displayName"],
        ["aliases.0"],
        [""],
    ],
)
def test_a_mask_that_names_nothing_changeable_is_refused(admin: Athlete, mask: list[str]) -> None:
    before = create(admin)
    with refused("INVALID_UPDATE_MASK", Code.INVALID_ARGUMENT) as refusals:
        admin.exercises.UpdateExercise(
            pb.UpdateExerciseRequest(
                exercise_id=before.id,
                exercise=pb.Exercise(display_name="New"),
                update_mask=FieldMask(paths=mask),
            )
        )
    assert refusals[0].fields == ["update_mask"]
    assert get(admin, before.id) == before


def test_an_exercise_that_does_not_exist_can_not_be_updated(admin: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        update(admin, NOBODY, display_name="New")
    assert refusals[0].fields == ["exercise_id"]


def test_an_update_is_by_id_only(admin: Athlete) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        update(admin, "pull-up", display_name="New")
    assert refusals[0].fields == ["exercise_id"]


def test_an_update_with_the_current_etag_is_taken(admin: Athlete) -> None:
    before = create(admin)
    after = update(admin, before.id, "display_name", display_name="New", etag=before.etag)
    assert after.display_name == "New"


def test_an_update_with_an_old_etag_is_refused(admin: Athlete) -> None:
    before = create(admin)
    after = update(admin, before.id, display_name="New")
    with refused("ETAG_MISMATCH", Code.ABORTED):
        update(admin, before.id, "display_name", display_name="Lost", etag=before.etag)
    assert get(admin, before.id) == after


def test_the_etag_of_an_update_is_named_by_its_path(admin: Athlete) -> None:
    before = create(admin)
    with refused("ETAG_MISMATCH", Code.ABORTED) as refusals:
        update(admin, before.id, "display_name", display_name="New", etag="no")
    assert refusals[0].fields == ["exercise.etag"]


@pytest.mark.parametrize(
    ("mask", "fields", "field"),
    [
        ("display_name", {}, "display_name"),
        ("slug", {"slug": "No"}, "slug"),
        ("difficulty", {}, "difficulty"),
        ("primary_muscles", {}, "primary_muscles"),
        ("aliases", {"aliases": ["a", ""]}, "aliases[1]"),
        ("movement_kind", {"movement_kind": 55}, "movement_kind"),
        ("easier_exercise_ids", {"easier_exercise_ids": ["x"]}, "easier_exercise_ids[0]"),
    ],
)
def test_an_update_is_checked_after_the_mask_is_applied(
    admin: Athlete, mask: str, fields: dict[str, Any], field: str
) -> None:
    before = create(admin)
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        update(admin, before.id, mask, **fields)
    assert refusals[0].fields == [f"exercise.{field}"]
    assert get(admin, before.id) == before


def test_what_is_not_in_the_mask_is_not_checked(admin: Athlete) -> None:
    before = create(admin)
    after = update(
        admin, before.id, "display_name", display_name="New", slug="NOT A SLUG", difficulty=99
    )
    assert (after.slug, after.difficulty) == (before.slug, before.difficulty)


def test_an_update_without_an_exercise_is_checked_too(admin: Athlete) -> None:
    before = create(admin)
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        admin.exercises.UpdateExercise(
            pb.UpdateExerciseRequest(
                exercise_id=before.id, update_mask=FieldMask(paths=["difficulty"])
            )
        )
    assert refusals[0].fields == ["exercise.difficulty"]


def test_an_update_to_a_taken_slug_is_refused(admin: Athlete) -> None:
    taken = create(admin).slug
    before = create(admin)
    with refused("EXERCISE_ALREADY_EXISTS", Code.ALREADY_EXISTS):
        update(admin, before.id, slug=taken)
    assert get(admin, before.id) == before


def test_a_retried_update_is_done_once(admin: Athlete) -> None:
    before = create(admin)
    request_id = str(uuid.uuid4())
    # The etag is that of before the first of the two: the second is answered all the same.
    fields = {"display_name": "New", "etag": before.etag}
    after = update(admin, before.id, "display_name", request_id=request_id, **fields)
    assert update(admin, before.id, "display_name", request_id=request_id, **fields) == after
    assert get(admin, before.id) == after
    with refused("REQUEST_ID_REUSED", Code.ALREADY_EXISTS):
        update(admin, before.id, request_id=request_id, display_name="Newer")


DEFINITION: dict[str, Any] = {
    "slug": "",
    "category": pb.EXERCISE_CATEGORY_LEGS,
    "movement_kind": pb.MOVEMENT_KIND_ISOMETRIC,
    "unilateral": True,
    "bodyweight_fraction": 0.75,
}


def put_in_a_workout(athlete: Athlete, exercise_id: str) -> workout_pb2.Workout:
    return athlete.create_workout(exercises=[planned(exercise_id)])


def put_in_a_session(athlete: Athlete, exercise_id: str) -> session_pb2.Session:
    return athlete.log(a_session(exercises=[performed(exercise_id)]))


def planned(exercise_id: str) -> workout_pb2.WorkoutExercise:
    return workout_pb2.WorkoutExercise(exercise_id=exercise_id, sets=3, reps={"min": 5, "max": 8})


def performed(exercise_id: str) -> session_pb2.SessionExercise:
    sets = [session_pb2.PerformedSet(actual_reps=5)]
    return session_pb2.SessionExercise(exercise_id=exercise_id, sets=sets)


@pytest.mark.parametrize("field", DEFINITION)
def test_a_definition_may_change_before_the_exercise_is_used(admin: Athlete, field: str) -> None:
    before = create(admin)
    value = DEFINITION[field] or unique()
    after = update(admin, before.id, **{field: value})
    assert getattr(after, field) == value
    assert after.id == before.id
    assert get(admin, before.id) == after


@pytest.mark.parametrize("use", [put_in_a_workout, put_in_a_session])
def test_a_definition_is_frozen_by_the_first_use(
    admin: Athlete, alice: Athlete, bob: Athlete, use: Callable[[Athlete, str], object]
) -> None:
    before = create(admin)
    use(alice, before.id)
    for field, value in DEFINITION.items():
        with refused("EXERCISE_IN_USE", Code.FAILED_PRECONDITION) as refusals:
            update(admin, before.id, **{field: value or unique()})
        assert refusals[0].metadata == {"exercise_id": before.id, "fields": field}
    # Somebody used it; the catalogue doesn't say who, nor does it change for anyone.
    assert get(bob, before.id) == before


def test_all_that_is_frozen_is_named(admin: Athlete, alice: Athlete) -> None:
    before = create(admin)
    put_in_a_workout(alice, before.id)
    with refused("EXERCISE_IN_USE", Code.FAILED_PRECONDITION) as refusals:
        update(admin, before.id, unilateral=True, category=pb.EXERCISE_CATEGORY_CORE)
    assert refusals[0].metadata["fields"] == "category,unilateral"


@pytest.mark.parametrize("use", [put_in_a_workout, put_in_a_session])
def test_what_does_not_define_an_exercise_may_change_while_it_is_used(
    admin: Athlete, alice: Athlete, use: Callable[[Athlete, str], object]
) -> None:
    easy = create(admin, difficulty=1)
    before = create(admin)
    use(alice, before.id)
    fields: dict[str, Any] = {
        "display_name": "New",
        "aliases": ["newer"],
        "family": unique("family"),
        "difficulty": 6,
        "contraction_emphasis": pb.CONTRACTION_EMPHASIS_ECCENTRIC,
        "equipment": [pb.EQUIPMENT_TOWEL],
        "primary_muscles": [pb.MUSCLE_ABS],
        "secondary_muscles": [pb.MUSCLE_LATS],
        "easier_exercise_ids": [easy.id],
        "description": "New",
        "cues": ["new"],
        "image_id": "new",
    }
    after = update(admin, before.id, **fields)
    for name, value in fields.items():
        assert getattr(after, name) == value
    # What is frozen may be sent again as it is.
    again = update(admin, before.id, slug=before.slug, category=before.category)
    assert again.slug == before.slug


def test_a_refused_workout_freezes_nothing(admin: Athlete, alice: Athlete) -> None:
    before = create(admin)
    with refused("UNKNOWN_EXERCISE"):
        alice.create_workout(exercises=[planned(before.id), planned(NOBODY)])
    assert update(admin, before.id, unilateral=True).unilateral


def test_a_refused_session_freezes_nothing(admin: Athlete, alice: Athlete) -> None:
    before = create(admin)
    with refused("UNKNOWN_EXERCISE"):
        alice.log(a_session(exercises=[performed(before.id), performed(NOBODY)]))
    assert update(admin, before.id, unilateral=True).unilateral


def test_a_session_goes_by_the_definition_as_it_is_now(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    changed = create(admin)
    # The service reads the catalogue for this one, and remembers the other from then on.
    put_in_a_session(bob, create(admin).id)
    update(admin, changed.id, movement_kind=pb.MOVEMENT_KIND_ISOMETRIC)
    hold = session_pb2.SessionExercise(
        exercise_id=changed.id, sets=[session_pb2.PerformedSet(actual_hold_seconds=10)]
    )
    assert alice.log(a_session(exercises=[hold])).exercises[0].exercise_id == changed.id


def test_an_update_replaces_edges(admin: Athlete) -> None:
    old, new, hard = (create(admin, difficulty=n) for n in (1, 2, 9))
    before = create(admin, easier_exercise_ids=[old.id], harder_exercise_ids=[hard.id])
    after = update(admin, before.id, easier_exercise_ids=[new.id])
    assert list(after.easier_exercise_ids) == [new.id]
    assert list(after.harder_exercise_ids) == [hard.id]
    assert not get(admin, old.id).harder_exercise_ids
    assert list(get(admin, new.id).harder_exercise_ids) == [before.id]
    update(admin, before.id, "harder_exercise_ids")
    assert not get(admin, hard.id).easier_exercise_ids
    assert list(get(admin, before.id).easier_exercise_ids) == [new.id]


def test_an_update_of_other_fields_keeps_the_edges(admin: Athlete) -> None:
    easy = create(admin, difficulty=1)
    before = create(admin, easier_exercise_ids=[easy.id])
    update(admin, before.id, display_name="New")
    assert list(get(admin, before.id).easier_exercise_ids) == [easy.id]
    assert list(get(admin, easy.id).harder_exercise_ids) == [before.id]


@pytest.mark.parametrize("field", ["easier_exercise_ids", "harder_exercise_ids"])
def test_an_update_with_an_unknown_neighbour_is_refused(admin: Athlete, field: str) -> None:
    before = create(admin)
    with refused("UNKNOWN_EXERCISE", Code.INVALID_ARGUMENT) as refusals:
        update(admin, before.id, **{field: [NOBODY]})
    assert refusals[0].fields == [f"exercise.{field}[0]"]
    assert get(admin, before.id) == before


def test_an_update_that_closes_a_cycle_is_refused(admin: Athlete) -> None:
    first = create(admin)
    second = create(admin, easier_exercise_ids=[first.id])
    third = create(admin, easier_exercise_ids=[second.id])
    with refused("PROGRESSION_CYCLE", Code.FAILED_PRECONDITION):
        update(admin, first.id, easier_exercise_ids=[third.id])
    assert not get(admin, first.id).easier_exercise_ids
    assert not get(admin, third.id).harder_exercise_ids


def test_edges_may_be_turned_around(admin: Athlete) -> None:
    first = create(admin)
    second = create(admin, easier_exercise_ids=[first.id])
    after = update(admin, second.id, easier_exercise_ids=[], harder_exercise_ids=[first.id])
    assert list(after.harder_exercise_ids) == [first.id]
    assert list(get(admin, first.id).easier_exercise_ids) == [second.id]


@pytest.mark.parametrize("difficulty", [3, 8])
def test_a_difficulty_that_an_edge_forbids_is_refused(admin: Athlete, difficulty: int) -> None:
    easy, hard = (create(admin, difficulty=n) for n in (4, 7))
    before = create(
        admin, difficulty=5, easier_exercise_ids=[easy.id], harder_exercise_ids=[hard.id]
    )
    with refused("PROGRESSION_DIFFICULTY_DROP", Code.FAILED_PRECONDITION):
        update(admin, before.id, difficulty=difficulty)
    assert get(admin, before.id) == before
    assert update(admin, before.id, difficulty=7).difficulty == 7


# Deprecating


def test_a_deprecated_exercise_stays_readable_with_its_replacement(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    replacement = create(admin)
    before = create(admin)
    after = deprecate(admin, before.id, replaced_by_exercise_id=replacement.id)
    assert after.state == pb.EXERCISE_STATE_DEPRECATED
    assert after.replaced_by_exercise_id == replacement.id
    assert after.etag != before.etag
    assert get(alice, before.slug) == after
    assert batch(bob, before.id) == [after]
    assert get(alice, replacement.id) == replacement


def test_a_deprecated_exercise_keeps_its_edges(admin: Athlete) -> None:
    easy = create(admin, difficulty=1)
    before = create(admin, easier_exercise_ids=[easy.id])
    assert list(deprecate(admin, before.id).easier_exercise_ids) == [easy.id]
    assert list(get(admin, easy.id).harder_exercise_ids) == [before.id]


def test_a_deprecation_needs_no_replacement(admin: Athlete) -> None:
    after = deprecate(admin, create(admin).id)
    assert (after.state, after.replaced_by_exercise_id) == (pb.EXERCISE_STATE_DEPRECATED, "")


def test_repeating_a_deprecation_changes_nothing(admin: Athlete) -> None:
    replacement = create(admin)
    exercise = create(admin)
    once = deprecate(admin, exercise.id, replaced_by_exercise_id=replacement.id)
    twice = deprecate(admin, exercise.id, replaced_by_exercise_id=replacement.id)
    assert twice == once == get(admin, exercise.id)


def test_a_deprecation_may_name_its_replacement_later(admin: Athlete) -> None:
    replacement = create(admin)
    exercise = create(admin)
    once = deprecate(admin, exercise.id)
    twice = deprecate(admin, exercise.id, replaced_by_exercise_id=replacement.id)
    assert twice.replaced_by_exercise_id == replacement.id
    assert twice.etag != once.etag


def test_a_retried_deprecation_gets_the_first_answer(admin: Athlete) -> None:
    exercise = create(admin)
    request_id = str(uuid.uuid4())
    once = deprecate(admin, exercise.id, request_id=request_id, etag=exercise.etag)
    assert deprecate(admin, exercise.id, request_id=request_id, etag=exercise.etag) == once
    with refused("REQUEST_ID_REUSED", Code.ALREADY_EXISTS):
        deprecate(admin, exercise.id, request_id=request_id)


def test_a_deprecation_with_an_old_etag_is_refused(admin: Athlete) -> None:
    old = create(admin)
    current = update(admin, old.id, display_name="New")
    with refused("ETAG_MISMATCH", Code.ABORTED) as refusals:
        deprecate(admin, old.id, etag=old.etag)
    assert refusals[0].fields == ["etag"]
    assert get(admin, old.id) == current
    assert deprecate(admin, old.id, etag=current.etag).state == pb.EXERCISE_STATE_DEPRECATED


def test_an_exercise_that_does_not_exist_can_not_be_deprecated(admin: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        deprecate(admin, NOBODY)
    assert refusals[0].fields == ["exercise_id"]


def test_a_deprecated_exercise_replaces_nothing(admin: Athlete) -> None:
    replacement = deprecate(admin, create(admin).id)
    before = create(admin)
    with refused("EXERCISE_DEPRECATED", Code.FAILED_PRECONDITION) as refusals:
        deprecate(admin, before.id, replaced_by_exercise_id=replacement.id)
    assert refusals[0].fields == ["replaced_by_exercise_id"]
    assert get(admin, before.id) == before


def test_an_unknown_exercise_replaces_nothing(admin: Athlete) -> None:
    before = create(admin)
    for other in (NOBODY, before.id):
        with refused("UNKNOWN_EXERCISE", Code.INVALID_ARGUMENT) as refusals:
            deprecate(admin, before.id, replaced_by_exercise_id=other)
        assert refusals[0].fields == ["replaced_by_exercise_id"]
    assert get(admin, before.id) == before


def test_a_deprecated_exercise_can_still_be_described_better(admin: Athlete) -> None:
    gone = deprecate(admin, create(admin).id)
    after = update(admin, gone.id, description="Better")
    assert (after.description, after.state) == ("Better", pb.EXERCISE_STATE_DEPRECATED)


def test_a_deprecated_exercise_can_not_enter_a_workout(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    exercise = create(admin)
    mine = put_in_a_workout(alice, exercise.id)
    other = bob.create_workout()
    deprecate(admin, exercise.id)
    with refused("EXERCISE_DEPRECATED", Code.FAILED_PRECONDITION) as refusals:
        alice.create_workout(exercises=[planned(PULL_UP), planned(exercise.id)])
    assert refusals[0].fields == ["workout.exercises[1].exercise_id"]
    # That a workout of Alice's has it gives Bob no right to it.
    with refused("EXERCISE_DEPRECATED", Code.FAILED_PRECONDITION) as refusals:
        bob.workouts.UpdateWorkout(
            workout_pb2.UpdateWorkoutRequest(
                workout_id=other.id,
                workout=a_workout(exercises=[planned(exercise.id)]),
                update_mask=FieldMask(paths=["exercises"]),
            )
        )
    assert refusals[0].fields == ["workout.exercises[0].exercise_id"]
    with refused("WORKOUT_NOT_FOUND"):
        bob.workouts.GetWorkout(workout_pb2.GetWorkoutRequest(workout_id=mine.id))


def test_a_deprecated_exercise_stays_in_a_workout_that_has_it(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    exercise = create(admin)
    workout = put_in_a_workout(alice, exercise.id)
    deprecate(admin, exercise.id)
    updated = alice.workouts.UpdateWorkout(
        workout_pb2.UpdateWorkoutRequest(
            workout_id=workout.id,
            workout=a_workout(exercises=[planned(PULL_UP), planned(exercise.id)]),
            update_mask=FieldMask(paths=["exercises"]),
        )
    )
    assert [e.exercise_id for e in updated.exercises] == [PULL_UP, exercise.id]
    with refused("WORKOUT_NOT_FOUND"):
        bob.workouts.GetWorkout(workout_pb2.GetWorkoutRequest(workout_id=workout.id))


def test_a_deprecated_exercise_may_still_be_logged(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    exercise = create(admin)
    deprecate(admin, exercise.id)
    logged = put_in_a_session(alice, exercise.id)
    assert [e.exercise_id for e in logged.exercises] == [exercise.id]
    with refused("SESSION_NOT_FOUND"):
        bob.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))


def test_an_edge_belongs_to_both_its_ends(admin: Athlete, alice: Athlete) -> None:
    """So that nobody removes with an old etag an edge that they never saw."""
    harder = create(admin, difficulty=5)
    easier = create(admin, difficulty=3, harder_exercise_ids=[harder.id])
    since = get(alice, harder.id)
    assert list(since.easier_exercise_ids) == [easier.id]
    assert since.etag != harder.etag
    with refused("ETAG_MISMATCH", Code.ABORTED):
        update(admin, harder.id, "*", slug=harder.slug, etag=harder.etag)
    update(admin, easier.id, "harder_exercise_ids")
    assert get(alice, harder.id).etag not in (harder.etag, since.etag)
    assert not get(alice, harder.id).easier_exercise_ids
