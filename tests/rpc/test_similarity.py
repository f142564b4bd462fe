"""Similar exercises: with the extension for vectors, without it, and as it comes and goes."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2 as pb
from calisthenics.training.v1 import recommendation_pb2, session_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode as Code
from typer.testing import CliRunner

from tests.conftest import embed_in, prepared, seed
from tests.rpc.test_exercise import create
from tests.support import (
    L_SIT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_session,
    eventually,
    refused,
    running_service,
)
from training_service.cli import app
from training_service.domain.exercise import exercise_id
from training_service.domain.similarity import MIN_ATHLETES
from training_service.storage.diagnosis import VectorFacts, diagnose
from training_service.storage.exercise_vector import NEAREST
from training_service.storage.migrations import migrate

pytestmark = pytest.mark.usefixtures("pgvector")

CHIN_UP, SQUAT = str(exercise_id("chin-up")), str(exercise_id("bodyweight-squat"))
SIMILARITY = recommendation_pb2.RECOMMENDATION_TERM_KIND_SIMILARITY


def similar(athlete: Athlete, exercise: str, **request: Any) -> list[pb.SimilarExercise]:
    message = pb.ListSimilarExercisesRequest(exercise=exercise, **request)
    return list(athlete.exercises.ListSimilarExercises(message).similar_exercises)


def swaps(athlete: Athlete, exercise: str) -> list[recommendation_pb2.ExerciseRecommendation]:
    request = recommendation_pb2.RecommendExercisesRequest(
        swapped_exercise_id=exercise, max_results=100
    )
    found = athlete.recommendations.RecommendExercises(request).recommendations
    return [one for one in found if one.kind == 3]


def scores(found: Sequence[pb.SimilarExercise]) -> dict[str, float]:
    return {one.exercise.id: one.similarity for one in found}


@pytest.fixture
def own_url(make_database: Callable[[], str]) -> str:
    """A database with vectors that no other test knows."""
    return prepared(make_database())


@pytest.fixture
def own_admin(own_url: str) -> Iterator[Athlete]:
    """An administrator of a service on it, whose calls pass by what is remembered."""
    with running_service(own_url) as running:
        athlete = Athlete(running.address, roles="admin")
        yield athlete
        athlete.close()


# With vectors.


def test_the_most_like_come_first_and_say_in_what(alice: Athlete) -> None:
    found = similar(alice, "pull-up")
    assert len(found) == 10
    assert found == similar(alice, PULL_UP)
    assert found == sorted(found, key=lambda one: (-one.similarity, one.exercise.id))
    assert PULL_UP not in scores(found)
    of = alice.exercises.GetExercise(pb.GetExerciseRequest(exercise=PULL_UP))
    for one in found:
        assert 0.5 < one.similarity <= 1
        assert one.exercise == alice.exercises.GetExercise(
            pb.GetExerciseRequest(exercise=one.exercise.slug)
        )
        assert one.same_family == (one.exercise.family == of.family)
        assert one.same_category == (one.exercise.category == of.category)
        assert {*one.shared_primary_muscles} == {*one.exercise.primary_muscles} & {
            *of.primary_muscles
        }
        assert one.difficulty_change == one.exercise.difficulty - of.difficulty
    assert found[0].same_category
    assert found[0].shared_primary_muscles


def test_likeness_goes_both_ways(alice: Athlete) -> None:
    there = scores(similar(alice, PULL_UP, max_results=100))
    for id in list(there)[:3]:
        assert scores(similar(alice, id, max_results=100))[PULL_UP] == there[id]


def test_equipment_leaves_out_before_results_are_counted(alice: Athlete) -> None:
    floor = similar(alice, PULL_UP, equipment_at_hand=[pb.EQUIPMENT_NONE], max_results=20)
    assert len(floor) == 20
    assert all(not one.exercise.equipment for one in floor)
    rings = similar(alice, PULL_UP, equipment_at_hand=[pb.EQUIPMENT_RINGS])
    assert {item for one in rings for item in one.exercise.equipment} == {pb.EQUIPMENT_RINGS}


@pytest.mark.parametrize("name", ["no-such-exercise", str(uuid.uuid4())], ids=["a slug", "an id"])
def test_an_exercise_that_does_not_exist_is_like_none(alice: Athlete, name: str) -> None:
    with refused("EXERCISE_NOT_FOUND", Code.NOT_FOUND) as refusals:
        similar(alice, name)
    assert refusals[0].fields == ["exercise"]


@pytest.mark.parametrize(
    ("field", "request_fields"),
    [
        ("exercise", {"exercise": "pull up"}),
        ("max_results", {"max_results": 101}),
        ("max_results", {"max_results": -1}),
        ("equipment_at_hand[0]", {"equipment_at_hand": [0]}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    alice: Athlete, field: str, request_fields: dict[str, Any]
) -> None:
    with refused("INVALID_FIELD", Code.INVALID_ARGUMENT) as refusals:
        similar(alice, **{"exercise": PULL_UP, **request_fields})
    assert refusals[0].fields == [field]


def test_an_answer_is_remembered(alice: Athlete, bob: Athlete, queries: Queries) -> None:
    similar(alice, L_SIT, max_results=7)
    queries.clear()
    similar(bob, L_SIT, max_results=7)
    assert [sql for sql in queries.sql if "exercise" in sql] == []


def test_what_is_deprecated_is_not_offered(own_admin: Athlete) -> None:
    assert CHIN_UP in scores(similar(own_admin, PULL_UP))
    own_admin.exercises.DeprecateExercise(pb.DeprecateExerciseRequest(exercise_id=CHIN_UP))
    assert CHIN_UP not in scores(similar(own_admin, PULL_UP))
    assert PULL_UP in scores(similar(own_admin, CHIN_UP))


def test_the_index_can_be_used(owner: psycopg.Connection) -> None:
    """Of so few exercises PostgreSQL rather reads all, which is cheaper."""
    with psycopg.connect(owner.info.dsn, password=owner.info.password) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        connection.execute("SET LOCAL enable_sort = off")
        statement = f"PREPARE nearest (uuid) AS {NEAREST.sql}"
        connection.execute(statement.encode())
        plan = connection.execute(f"EXPLAIN EXECUTE nearest ('{PULL_UP}')".encode()).fetchall()
        assert "Index Scan using exercise_vectors_vector_idx" in "\n".join(row[0] for row in plan)
        connection.execute("SET LOCAL hnsw.ef_search = 1000")
        by_index = connection.execute(f"EXECUTE nearest ('{PULL_UP}')".encode()).fetchall()
        connection.execute("SET LOCAL enable_indexscan = off")
        connection.execute("DEALLOCATE nearest")
        connection.execute(statement.encode())
        by_scan = connection.execute(f"EXECUTE nearest ('{PULL_UP}')".encode()).fetchall()
    assert {id for id, _ in by_index} == {id for id, _ in by_scan}
    assert [s for _, s in by_index] == pytest.approx([s for _, s in by_scan])


# Swaps.


def test_swaps_count_likeness_and_cite_it(alice: Athlete) -> None:
    likeness = scores(similar(alice, PULL_UP, max_results=100))
    least = min(likeness.values())
    found = swaps(alice, PULL_UP)
    assert found
    for one in found:
        [term] = [term for term in one.terms if term.kind == SIMILARITY]
        assert term.weight == 0.2
        assert sum(term.weight for term in one.terms) == pytest.approx(1)
        # Of the catalogue, which other tests add to, the likest hundred are known.
        known = likeness.get(one.exercise_id)
        assert term.value == max(known, 0) if known is not None else term.value <= max(least, 0)
        reasons = [r for r in one.reasons if r.kind == KIND_SIMILAR]
        assert all((r.value, [*r.exercise_ids]) == (term.value, [PULL_UP]) for r in reasons)


def test_what_swaps_are_like_is_remembered(alice: Athlete, bob: Athlete, queries: Queries) -> None:
    before = swaps(alice, L_SIT)
    queries.clear()
    assert swaps(bob, L_SIT) == before
    assert [sql for sql in queries.sql if "exercise_vectors" in sql] == []


KIND_SIMILAR = recommendation_pb2.RECOMMENDATION_REASON_KIND_SIMILAR


# What athletes train together.


def trained_together(service: Athlete, count: int, *exercises: str, sets: int = 1) -> None:
    """Logs one session of exercises for each of some athletes."""
    for _ in range(count):
        log(service.as_another(), *exercises, sets=sets)


def log(athlete: Athlete, *exercises: str, sets: int = 1) -> session_pb2.Session:
    done = session_pb2.PerformedSet(actual_reps=5)
    return athlete.log(
        a_session(
            exercises=[
                session_pb2.SessionExercise(exercise_id=one, sets=[done] * sets)
                for one in exercises
            ]
        )
    )


def pair_count(url: str) -> int:
    done = embed_in(url)
    assert (done.obstacle, done.exercises >= 249) == ("", True)
    return done.pairs


def test_a_pair_that_few_athletes_trained_together_counts_for_nothing(
    own_url: str, own_admin: Athlete
) -> None:
    before = similar(own_admin, PUSH_UP, max_results=100)
    trained_together(own_admin, MIN_ATHLETES - 1, PUSH_UP, SQUAT)
    last = own_admin.as_another()
    for _ in range(3):  # one athlete counts once, however often
        log(last, PUSH_UP)
        log(last, SQUAT)
    assert pair_count(own_url) == 0
    assert similar(own_admin, PUSH_UP, max_results=100) == before
    logged = log(last, PUSH_UP, SQUAT, SQUAT)
    assert pair_count(own_url) == 1
    last.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=logged.id, reason="no"))
    assert pair_count(own_url) == 0
    for _ in range(2):
        log(own_admin.as_another(), PUSH_UP, SQUAT)
    assert pair_count(own_url) == 1


def test_who_is_trained_with_the_same_is_more_alike(own_url: str, own_admin: Athlete) -> None:
    before = scores(similar(own_admin, PUSH_UP, max_results=100)).get(SQUAT, 0.0)
    for one in (PUSH_UP, SQUAT):
        trained_together(own_admin, MIN_ATHLETES, one, PULL_UP, CHIN_UP)
    assert pair_count(own_url) == 5
    after = similar(own_admin, PUSH_UP, max_results=100)
    assert scores(after)[SQUAT] > before + 0.1
    assert all(one.similarity == round(one.similarity, 3) for one in after)


# Vectors that are missing or of before.


def vector_facts(url: str) -> VectorFacts:
    found = diagnose(url, "training_app", []).vectors
    assert found
    return found


def test_a_new_exercise_has_no_vector_until_it_is_reckoned(
    own_url: str, own_admin: Athlete
) -> None:
    assert vector_facts(own_url) == VectorFacts(True, True, 249, 0)
    new = create(own_admin)
    with refused("SIMILARITY_UNAVAILABLE", Code.FAILED_PRECONDITION) as refusals:
        similar(own_admin, new.id)
    assert "training-service embed" in refusals[0].message
    assert vector_facts(own_url) == VectorFacts(True, True, 249, 1)
    embed_in(own_url)
    assert vector_facts(own_url) == VectorFacts(True, True, 250, 0)
    assert similar(own_admin, new.id)
    change = pb.UpdateExerciseRequest(
        exercise_id=new.id,
        exercise=pb.Exercise(difficulty=new.difficulty + 1),
        update_mask=FieldMask(paths=["difficulty"]),
    )
    own_admin.exercises.UpdateExercise(change)
    assert vector_facts(own_url).stale == 1


def test_others_see_new_vectors_too(own_url: str, own_admin: Athlete) -> None:
    anyone = own_admin.as_another()
    before = similar(anyone, PUSH_UP, max_results=100)
    for one in (PUSH_UP, SQUAT):
        trained_together(own_admin, MIN_ATHLETES, one, PULL_UP, CHIN_UP)
    embed_in(own_url)
    eventually(lambda: similar(anyone, PUSH_UP, max_results=100) != before)


def test_reckoning_again_changes_nothing(own_url: str) -> None:
    query = "SELECT exercise_id, vector::text FROM training.exercise_vectors ORDER BY 1"
    with psycopg.connect(own_url, autocommit=True) as connection:
        before = connection.execute(query).fetchall()
        embed_in(own_url)
        assert connection.execute(query).fetchall() == before


# Without the extension.


def without_extension(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP EXTENSION vector CASCADE")


def test_without_the_extension_all_else_works(own_url: str, own_admin: Athlete) -> None:
    athlete = own_admin.as_another()
    on = swaps(athlete, PULL_UP)
    assert similar(own_admin, PULL_UP)
    without_extension(own_url)
    with refused("SIMILARITY_UNAVAILABLE", Code.FAILED_PRECONDITION):
        similar(own_admin, PUSH_UP)
    off = swaps(athlete, PUSH_UP)
    assert off
    assert all(term.kind != SIMILARITY for one in off for term in one.terms)
    assert [term.weight for term in off[0].terms] == [0.25, 0.25, 0.35, 0.15]
    assert log(athlete, PULL_UP).id
    assert not vector_facts(own_url).is_on
    embed_in(own_url)  # creates the extension again, as it may
    assert vector_facts(own_url) == VectorFacts(True, True, 249, 0)
    assert similar(own_admin, PUSH_UP)
    with psycopg.connect(own_url, autocommit=True) as connection:
        connection.execute("REVOKE ALL ON training.exercise_vectors FROM training_app")
    with refused("SIMILARITY_UNAVAILABLE"):
        similar(own_admin, SQUAT)
    embed_in(own_url)
    assert similar(own_admin, SQUAT)
    assert swaps(own_admin.as_another(), PULL_UP) == on


def test_a_database_that_is_seeded_and_no_more_is_off(make_database: Callable[[], str]) -> None:
    url = make_database()
    migrate(url)
    seed(url)
    with running_service(url) as running:
        alice = Athlete(running.address)
        with refused("SIMILARITY_UNAVAILABLE"):
            similar(alice, PULL_UP)
        assert all(len(one.terms) == 4 for one in swaps(alice, PULL_UP))
        alice.close()


@pytest.mark.parametrize(
    ("view", "obstacle"),
    [
        ("pg_available_extensions AS SELECT ''::name AS name", "does not have the extension"),
        ("pg_extension AS SELECT 'vector' AS extname, '0.4.4' AS extversion", "vector is 0.4.4"),
    ],
    ids=["missing", "too old"],
)
def test_a_server_that_has_no_such_extension_is_migrated_all_the_same(
    make_database: Callable[[], str], view: str, obstacle: str
) -> None:
    """As a view says, which is found before PostgreSQL's own."""
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other_server")
        connection.execute(f"CREATE VIEW other_server.{view}".encode())
        connection.execute("GRANT USAGE ON SCHEMA other_server TO PUBLIC")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA other_server TO PUBLIC")
        path = "other_server, pg_catalog, public"
        connection.execute(
            f'ALTER DATABASE "{connection.info.dbname}" SET search_path = {path}'.encode()
        )
    migrate(url)
    assert obstacle in embed_in(url).obstacle
    found = vector_facts(url)
    assert (found.is_available, found.is_on) == ("does not" not in obstacle, False)


# The command.


def run_embed(url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setenv("TRAINING_MIGRATION_DATABASE_URL", url)
    result = CliRunner().invoke(app, ["embed"])
    return result.exit_code, result.output


def test_the_command_says_what_it_did(own_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_extension(own_url)
    code, output = run_embed(own_url, monkeypatch)
    assert (code, "vectors: 249 exercises, 0 pairs trained together" in output) == (0, True)
    assert vector_facts(own_url) == VectorFacts(True, True, 249, 0)
