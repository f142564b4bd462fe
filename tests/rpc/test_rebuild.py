"""Derived numbers stay in step with the records, and can be reckoned anew from them."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.rpc.test_totals import on
from tests.support import L_SIT, PULL_UP, PUSH_UP, Athlete, eventually, waiting_count
from training_service.cli import app
from training_service.servicers.rebuild import rebuild_metrics
from training_service.settings import Settings

Rows = dict[str, list[tuple[Any, ...]]]


TABLES = ("session_metrics", "exercise_metrics", "personal_records")


def derived(owner: psycopg.Connection, *athletes: Athlete) -> Rows:
    """Returns all derived rows of athletes."""
    ids = [athlete.id for athlete in athletes]
    own = "external_user_id = ANY(%s::uuid[]) ORDER BY 1, 2, 3, 4, 5"
    return {
        table: owner.execute(f"SELECT * FROM training.{table} WHERE {own}", [ids]).fetchall()
        for table in TABLES
    }


def forget(owner: psycopg.Connection, *athletes: Athlete) -> None:
    """Removes all derived rows of athletes, as before the first rebuild."""
    for table in TABLES:
        owner.execute(
            f"DELETE FROM training.{table} WHERE external_user_id = ANY(%s::uuid[])",
            [[athlete.id for athlete in athletes]],
        )


@pytest.fixture
def rebuild(database_url: str) -> Callable[..., int]:
    """Reckons everything anew and returns of how many sessions."""

    def run(*, everything: bool = False) -> int:
        owner = Settings(database_role="")
        return asyncio.run(
            rebuild_metrics(owner, database_url, lambda *_: None, everything=everything)
        )

    return run


def of(exercise: str, *sets: dict[str, Any]) -> pb.SessionExercise:
    return pb.SessionExercise(exercise_id=exercise, sets=[pb.PerformedSet(**s) for s in sets])


SETS = st.fixed_dictionaries(
    {"actual_reps": st.integers(0, 30)},
    optional={
        "load_kg": st.floats(-50, 100, allow_nan=False),
        "rpe": st.floats(0, 10, allow_nan=False),
        "tempo": st.just("3-0-1-0"),
    },
)
HOLDS = st.fixed_dictionaries({"actual_hold_seconds": st.floats(0, 120, allow_nan=False)})
EXERCISES = st.lists(
    st.builds(of, st.sampled_from([PULL_UP, PUSH_UP]), SETS) | st.builds(of, st.just(L_SIT), HOLDS),
    max_size=3,
)
SESSIONS = st.builds(
    on,
    st.sampled_from(["2025-03-03", "2025-03-04"]),
    exercises=EXERCISES,
    body_mass_kg=st.none() | st.floats(40, 150, allow_nan=False),
    session_rpe=st.none() | st.floats(0, 10, allow_nan=False),
    duration_seconds=st.none() | st.integers(0, 20_000),
)
WRITES = st.lists(
    st.tuples(st.sampled_from(["log", "amend", "void"]), st.integers(0, 5), SESSIONS),
    min_size=1,
    max_size=8,
)


def write(athlete: Athlete, current: list[str], kind: str, place: int, new: pb.Session) -> None:
    """Makes one write; `current` are the ids of the sessions that count."""
    if kind == "log" or not current:
        current.append(athlete.log(new).id)
        return
    old = current.pop(place % len(current))
    if kind == "void":
        athlete.sessions.VoidSession(pb.VoidSessionRequest(session_id=old))
        return
    request = pb.AmendSessionRequest(session_id=old, session=new)
    current.append(athlete.sessions.AmendSession(request).id)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(writes=WRITES)
def test_whatever_is_written_totals_are_those_of_the_records(
    service: Any, owner: psycopg.Connection, rebuild: Callable[..., int], writes: Any
) -> None:
    """Only what counts at the end matters, not how it came to be."""
    athlete = Athlete(service.address)
    current: list[str] = []
    for kind, place, new in writes:
        write(athlete, current, kind, place, new)
    maintained = derived(owner, athlete)
    assert len(maintained["session_metrics"]) == len(current)
    forget(owner, athlete)
    assert rebuild() >= len(current)
    assert derived(owner, athlete) == maintained
    athlete.close()


def test_a_rebuild_of_everything_changes_nothing(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, rebuild: Callable[..., int]
) -> None:
    for athlete in (alice, bob):
        athlete.log(on("2025-03-03"))
        athlete.log(on("2025-03-04"))
    before = derived(owner, alice, bob)
    assert rebuild(everything=True) >= 4
    assert derived(owner, alice, bob) == before


def test_a_rebuild_does_what_is_missing_or_of_an_older_formula(
    alice: Athlete, owner: psycopg.Connection, rebuild: Callable[..., int]
) -> None:
    rebuild()
    ids = [alice.log(on("2025-03-03")).id for _ in range(3)]
    before = derived(owner, alice)
    outdated = "UPDATE training.session_metrics SET formula_version = 0 WHERE session_id = %s"
    owner.execute(outdated, [ids[0]])
    assert rebuild() == 1
    assert derived(owner, alice) == before
    assert rebuild() == 0


def test_a_retracted_session_is_not_rebuilt(
    alice: Athlete, owner: psycopg.Connection, rebuild: Callable[..., int]
) -> None:
    logged = alice.log(on("2025-03-03"))
    alice.sessions.VoidSession(pb.VoidSessionRequest(session_id=logged.id))
    rebuild(everything=True)
    assert not any(derived(owner, alice).values())


def test_sessions_logged_at_once_are_all_in_their_day(
    alice: Athlete, owner: psycopg.Connection, rebuild: Callable[..., int]
) -> None:
    request = pb.LogSessionRequest(session=on("2025-03-03"))
    calls = [alice.sessions.LogSession.future(request) for _ in range(30)]
    assert all(call.result() for call in calls)
    before = derived(owner, alice)
    assert len(before["session_metrics"]) == 30
    rebuild(everything=True)
    assert derived(owner, alice) == before


def test_a_session_voided_during_a_rebuild_counts_no_more(
    alice: Athlete, owner: psycopg.Connection, rebuild: Callable[..., int], database_url: str
) -> None:
    """The voiding comes first and is not done yet when the rebuild looks at the session."""
    logged = alice.log(on("2025-03-03"))
    forget(owner, alice)
    insert = """
        INSERT INTO training.session_retractions
        VALUES (%s, %s, 'VOIDED', NULL, '', now())
    """

    async def race() -> int:
        settings = Settings(database_role="")
        with psycopg.connect(database_url) as voiding:
            voiding.execute(insert, [alice.id, logged.id])
            running = asyncio.create_task(rebuild_metrics(settings, database_url, lambda *_: None))
            await asyncio.to_thread(eventually, lambda: waiting_count(owner) == 1)
            voiding.commit()
            return await running

    asyncio.run(race())
    assert not any(derived(owner, alice).values())


def test_the_command_says_how_many(
    alice: Athlete, owner: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", database_url)
    CliRunner().invoke(app, ["rebuild-metrics"])
    alice.log(on("2025-03-03"))
    forget(owner, alice)
    done = CliRunner().invoke(app, ["rebuild-metrics"])
    assert done.exit_code == 0, done.output
    assert "1 sessions reckoned" in done.output
    assert UUID(alice.id) in {row[0] for row in derived(owner, alice)["session_metrics"]}
