"""The demo, against a running service."""

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from io import StringIO

import grpc
import pytest
import typer
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1 import set_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from rich.console import Console
from typer.testing import CliRunner

from tests.support import Athlete, RunningService, a_session, running_service
from training_service.cli import app
from training_service.client import SERVICE_NAME
from training_service.demo import BATCH_SIZE, NEWEST_SESSIONS, _attempt, run_demo
from training_service.demo.client import PAGE_SIZE, Client, DemoError
from training_service.demo.report import sets_in_short
from training_service.storage.migrations import migrate

TODAY = date(2026, 3, 30)
DAYS = 60
IDS = (
    "id",
    "external_user_id",
    "workout_id",
    "supersedes_session_id",
    "superseded_by_session_id",
)
STORING_TIMES = ("create_time", "retract_time")
UUID_PATTERN = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Run:
    """What a run of the demo printed, and what the service holds of its two athletes."""

    output: str
    athlete_ids: list[str]
    logs: list[list[pb.Session]]


def run(service: RunningService, days: int = DAYS, seed: int = 1) -> Run:
    output = StringIO()
    run_demo(service.address, days, seed, Console(file=output, width=100), today=TODAY)
    athlete_ids = re.findall(rf"last 30 days of ({UUID_PATTERN})", output.getvalue())
    sibling = Athlete(service.address, roles="service")
    try:
        logs = [logged(sibling, athlete_id) for athlete_id in athlete_ids]
    finally:
        sibling.close()
    return Run(output.getvalue(), athlete_ids, logs)


def logged(sibling: Athlete, athlete_id: str) -> list[pb.Session]:
    """Returns all sessions of an athlete, oldest first."""
    return list(
        sibling.sessions.ListSessions(
            pb.ListSessionsRequest(
                external_user_id=athlete_id,
                page_size=1000,
                view=pb.SESSION_VIEW_FULL,
                show_retracted=True,
                oldest_first=True,
            )
        ).sessions
    )


@pytest.fixture(scope="module")
def two_months(service: RunningService) -> Run:
    return run(service)


def current(log: Sequence[pb.Session]) -> list[pb.Session]:
    return [session for session in log if session.state == pb.SESSION_STATE_CURRENT]


def sets(log: Sequence[pb.Session]) -> list[pb.PerformedSet]:
    return [one for session in log for exercise in session.exercises for one in exercise.sets]


def day_of(session: pb.Session) -> date:
    return date(session.local_date.year, session.local_date.month, session.local_date.day)


def without_ids(log: Sequence[pb.Session]) -> list[bytes]:
    """Returns sessions as bytes that differ only in what was done."""
    plain = []
    for session in log:
        copy = pb.Session()
        copy.CopyFrom(session)
        for name in (*IDS, *STORING_TIMES):
            copy.ClearField(name)  # type: ignore[arg-type]
        plain.append(copy.SerializeToString(deterministic=True))
    return sorted(plain)


def test_two_new_athletes_fill_the_days_asked_for(two_months: Run) -> None:
    assert len(set(two_months.athlete_ids)) == 2
    for log in two_months.logs:
        days = [day_of(session) for session in log]
        assert min(days) >= TODAY - timedelta(days=DAYS)
        assert min(days) < TODAY - timedelta(days=DAYS - 7)
        assert max(days) < TODAY
        assert max(days) >= TODAY - timedelta(days=7)


def test_each_trains_two_to_four_times_a_week_and_rests_in_some(two_months: Run) -> None:
    for log in two_months.logs:
        whole_weeks = range(DAYS // 7)
        weeks_ago = [(TODAY - timedelta(days=1) - day_of(s)).days // 7 for s in current(log)]
        counts = [weeks_ago.count(week) for week in whole_weeks]
        assert counts.count(0) == 1
        assert set(counts) - {0} <= {2, 3, 4}


def test_some_weeks_miss_a_day_of_others(two_months: Run) -> None:
    for log in two_months.logs:
        weeks_ago = [(TODAY - timedelta(days=1) - day_of(s)).days // 7 for s in current(log)]
        assert len({weeks_ago.count(week) for week in range(DAYS // 7)} - {0}) > 1


def test_every_kind_of_set_occurs(two_months: Run) -> None:
    for log in two_months.logs:
        done = sets(log)
        assert any(one.actual_hold_seconds > 0 for one in done)
        assert any(one.actual_reps > 0 for one in done)
        assert any(one.load_kg > 0 for one in done)
        assert any(one.load_kg < 0 for one in done)
        assert any(one.kind == set_pb2.SET_KIND_WARM_UP for one in done)
        left = [one for one in done if one.side == set_pb2.SIDE_LEFT]
        right = [one for one in done if one.side == set_pb2.SIDE_RIGHT]
        assert len(left) == len(right) > 0


def test_the_two_rate_their_effort_each_in_their_own_way(two_months: Run) -> None:
    efforts = [{one.WhichOneof("effort") for one in sets(log)} for log in two_months.logs]
    assert efforts == [{"rpe", None}, {"rir", None}]


def test_a_partial_session_names_the_sets_not_done(two_months: Run) -> None:
    for log in two_months.logs:
        partial = [
            session
            for session in log
            if session.completion == pb.SESSION_COMPLETION_PARTIAL and session.exercises
        ]
        assert partial
        for session in partial:
            undone = [one for one in sets([session]) if one.HasField("completed")]
            assert undone
            assert not any(one.completed for one in undone)
            assert not any(one.HasField("actual_reps") for one in undone)
            assert len(undone) < len(sets([session]))


def test_a_session_can_be_over_before_it_began(two_months: Run) -> None:
    for log in two_months.logs:
        called_off = [s for s in log if s.HasField("duration_seconds") and not s.duration_seconds]
        assert len(called_off) == 1
        assert not called_off[0].exercises
        assert called_off[0].completion == pb.SESSION_COMPLETION_PARTIAL


def test_some_sessions_follow_a_template_and_some_none(two_months: Run) -> None:
    for log in two_months.logs:
        followed = [session for session in log if session.workout_id]
        assert {session.workout_revision for session in followed} == {1, 2}
        # The targets come from the draft that InstantiateWorkout made.
        assert all(one.target.WhichOneof("volume") for one in sets(followed))
        free_form = [session for session in log if not session.workout_id]
        assert free_form
        assert not any(one.HasField("target") for one in sets(free_form))


def test_a_wrong_session_is_amended(two_months: Run) -> None:
    for log in two_months.logs:
        (amended,) = [s for s in log if s.state == pb.SESSION_STATE_SUPERSEDED]
        (correction,) = [s for s in log if s.supersedes_session_id]
        assert amended.superseded_by_session_id == correction.id
        assert correction.state == pb.SESSION_STATE_CURRENT
        assert amended.retract_reason == "The timer was left running."
        assert correction.duration_seconds < amended.duration_seconds


def test_a_session_logged_twice_is_voided_once(two_months: Run) -> None:
    for log in two_months.logs:
        (voided,) = [s for s in log if s.state == pb.SESSION_STATE_VOIDED]
        (kept,) = [s for s in current(log) if day_of(s) == day_of(voided)]
        assert kept.exercises == voided.exercises
        assert voided.retract_reason == "Logged twice."


def test_the_two_live_in_different_time_zones_and_travel(two_months: Run) -> None:
    zones = [{session.time_zone for session in log} for log in two_months.logs]
    assert zones == [
        {"Europe/Berlin", "Atlantic/Madeira"},
        {"Asia/Tokyo", "America/Los_Angeles"},
    ]


def test_body_mass_is_weighed_now_and_then_and_changes(two_months: Run) -> None:
    for log in two_months.logs:
        weighed = [s.body_mass_kg for s in log if s.HasField("body_mass_kg")]
        assert 1 < len(set(weighed)) < len(log)


def test_loads_rise_over_time(two_months: Run) -> None:
    # Of the exercise that was done with a load most often. Less assistance is a higher load, too.
    for log in two_months.logs:
        by_exercise: dict[str, list[float]] = {}
        for session in current(log):
            for exercise in session.exercises:
                loads = [one.load_kg for one in exercise.sets if one.HasField("load_kg")]
                if loads:
                    by_exercise.setdefault(exercise.exercise_id, []).append(max(loads))
        most_often = max(by_exercise.values(), key=len)
        half = len(most_often) // 2
        assert sum(most_often[:half]) / half < sum(most_often[-half:]) / half


def test_the_same_seed_makes_the_same_sessions(service: RunningService, two_months: Run) -> None:
    again = run(service)
    assert not set(again.athlete_ids) & set(two_months.athlete_ids)
    for log, repeated in zip(two_months.logs, again.logs, strict=True):
        assert without_ids(log) == without_ids(repeated)


def test_another_seed_makes_other_sessions(service: RunningService, two_months: Run) -> None:
    other = run(service, seed=2)
    for log, differing in zip(two_months.logs, other.logs, strict=True):
        assert without_ids(log) != without_ids(differing)


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_log_has_every_special_session(service: RunningService, seed: int) -> None:
    for log in run(service, days=28, seed=seed).logs:
        assert {session.state for session in log} == {
            pb.SESSION_STATE_CURRENT,
            pb.SESSION_STATE_SUPERSEDED,
            pb.SESSION_STATE_VOIDED,
        }
        assert any(not session.workout_id for session in log)
        assert any(session.duration_seconds == 0 for session in log)
        assert any(one.HasField("completed") for one in sets(log))


def test_the_backlog_goes_in_batches_and_the_newest_one_by_one(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    singles: list[int] = []
    log_batch, log = Client.log_batch, Client.log

    def counted_batch(client: Client, sessions: Sequence[pb.Session]) -> list[pb.Session]:
        batches.append(len(sessions))
        return log_batch(client, sessions)

    def counted(client: Client, session: pb.Session) -> pb.Session:
        singles.append(1)
        return log(client, session)

    monkeypatch.setattr(Client, "log_batch", counted_batch)
    monkeypatch.setattr(Client, "log", counted)
    logs = run(service, days=365).logs
    assert len(singles) == 2 * NEWEST_SESSIONS
    assert max(batches) == BATCH_SIZE
    amendments = sum(1 for log in logs for session in log if session.supersedes_session_id)
    assert sum(batches) + len(singles) == sum(map(len, logs)) - amendments


def test_the_refusals_are_printed(two_months: Run) -> None:
    for title in ("Nora asks for Kai's sessions", "Kai asks for Nora's sessions"):
        shown = two_months.output.partition(title)[2].partition("asks for")[0]
        assert re.findall(r"(\w+\([\w, ]+\))\s+(\w+)", shown) == [
            ("GetSession(session_id)", "SESSION_NOT_FOUND"),
            ("GetSession(external_user_id, session_id)", "ATHLETE_NOT_FOUND"),
            ("ListSessions(external_user_id)", "ATHLETE_NOT_FOUND"),
        ]


def test_every_session_of_the_last_month_is_printed(two_months: Run) -> None:
    shown = re.findall(r"^(\w{3} \d{2} \w{3})  (\d{2}:\d{2})", two_months.output, re.MULTILINE)
    listed = [
        session
        for log in two_months.logs
        for session in log
        if day_of(session) >= TODAY - timedelta(days=30)
    ]
    assert len(listed) > 2 * PAGE_SIZE  # or paging was not needed
    assert [day for day, _ in shown] == [f"{day_of(session):%a %d %b}" for session in listed]


def test_the_output_fits_into_a_hundred_columns(two_months: Run) -> None:
    assert max(map(len, two_months.output.splitlines())) <= 100


def performed(*amounts: int, **fields: object) -> list[pb.PerformedSet]:
    return [pb.PerformedSet(actual_reps=reps, **fields) for reps in amounts]  # type: ignore[arg-type]


def held(*amounts: float) -> list[pb.PerformedSet]:
    return [pb.PerformedSet(actual_hold_seconds=seconds) for seconds in amounts]


LEFT, RIGHT = set_pb2.SIDE_LEFT, set_pb2.SIDE_RIGHT


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (performed(8, 8, 8, 8, load_kg=10), "4x8 +10 kg"),
        (performed(8, 7, 5, load_kg=-12.5), "8/7/5 −12.5 kg"),
        (performed(5, load_kg=10) + performed(4, load_kg=20), "5/4 +10 to +20 kg"),
        (performed(0, 0), "2x0"),
        (held(12.5, 12.5), "2x12.5 s"),
        (held(12, 9.5), "12/10 s"),
        (performed(5, kind=set_pb2.SET_KIND_WARM_UP), "1x5 warm-up"),
        (performed(5, 4, side=LEFT) + performed(5, 4, side=RIGHT), "5/4 L+R"),
        (performed(5, 4, side=LEFT) + performed(4, 4, side=RIGHT), "L 5/4 R 2x4"),
        (performed(5, side=LEFT), "L 1x5"),
        ([*performed(5), pb.PerformedSet(completed=False)], "1x5"),
        ([pb.PerformedSet(completed=False)], "not done"),
        ([], "not done"),
    ],
)
def test_sets_are_shown_in_short(given: list[pb.PerformedSet], shown: str) -> None:
    assert sets_in_short(given) == shown


def failure(target: str) -> str:
    """Returns what the demo prints before it ends with exit code 1."""
    output = StringIO()
    with pytest.raises(typer.Exit) as ends:
        run_demo(target, DAYS, 1, Console(file=output, width=40))
    assert ends.value.exit_code == 1
    return output.getvalue()


def test_an_unreachable_service_is_said_in_a_line() -> None:
    # Bound, so that nobody else listens there, but not listening.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{bound.getsockname()[1]}"
        assert failure(target) == (
            f"No service answers at {target}. `training-service serve` starts one.\n"
        )


@contextmanager
def other_server(register: Callable[[grpc.Server], None]) -> Iterator[str]:
    """Runs a gRPC server that is not the service; yields its address."""
    server = grpc.server(ThreadPoolExecutor(1))
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_service_that_is_not_serving_is_said_in_a_line() -> None:
    def register(server: grpc.Server) -> None:
        servicer = health.HealthServicer()
        servicer.set(SERVICE_NAME, health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    with other_server(register) as target:
        assert failure(target) == (
            f"The service at {target} is not serving: its database is down or not migrated.\n"
        )


@pytest.mark.parametrize("has_health", [False, True])
def test_another_service_is_said_in_a_line(has_health: bool) -> None:
    def register(server: grpc.Server) -> None:
        if has_health:
            health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)

    with other_server(register) as target:
        assert failure(target) == f"What answers at {target} is not a Training Service.\n"


def test_a_missing_catalogue_is_said_in_a_line(make_database: Callable[[], str]) -> None:
    url = make_database()
    migrate(url)
    with running_service(url) as empty:
        assert failure(empty.address) == (
            "The service lacks the exercise catalogue. `training-service seed` adds it.\n"
        )


def test_a_service_that_wants_tokens_is_said_in_a_line(database_url: str) -> None:
    settings = {"jwt_jwks": "none.json", "jwt_issuer": "issuer", "jwt_audience": "audience"}
    with running_service(database_url, authentication="jwt", **settings) as strict:
        said = failure(strict.address)
    assert said.startswith(f"The service at {strict.address} refused a call: UNAUTHENTICATED, ")
    assert said.count("\n") == 1


def test_a_call_that_is_not_refused_ends_the_demo(alice: Athlete) -> None:
    own = pb.GetSessionRequest(session_id=alice.log().id)
    with pytest.raises(DemoError, match=r"^GetSession\(session_id\) let an athlete see another's"):
        _attempt("GetSession", own, alice.sessions.GetSession)


def test_a_refused_batch_ends_the_demo(service: RunningService) -> None:
    with (
        grpc.insecure_channel(service.address) as channel,
        pytest.raises(DemoError, match=r"^The service refused a batch: "),
    ):
        Client(channel).log_batch([a_session(), a_session(time_zone="Nowhere")])


def test_the_command_runs_the_demo(service: RunningService) -> None:
    result = CliRunner().invoke(app, ["demo", "--target", service.address, "--days", "28"])
    assert result.exit_code == 0
    assert "Nora asks for Kai's sessions" in result.stdout


def test_the_command_ends_with_exit_code_1_when_nothing_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{bound.getsockname()[1]}"
        result = CliRunner().invoke(app, ["demo", "--target", target])
    assert result.exit_code == 1
    assert result.stdout.startswith("No service answers at ")
