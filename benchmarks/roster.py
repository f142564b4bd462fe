"""`python -m benchmarks.roster`: one roster of a group beside the single calls about its athletes.

The group is one of many: every athlete is in one, and granted it READ_METRICS and READ_WELLNESS.
Its own train every other day for two years, by a schedule; of the others there are the last weeks.
Both ways of asking take turns in every round; of the single calls, 16 are under way at a time.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import grpc
import psycopg
import typer
from calisthenics.training.v1 import (
    load_pb2,
    metrics_pb2,
    readiness_pb2,
    roster_pb2,
    schedule_pb2,
    session_pb2,
    workout_pb2,
)
from calisthenics.training.v1.load_pb2_grpc import LoadServiceStub
from calisthenics.training.v1.metrics_pb2_grpc import MetricsServiceStub
from calisthenics.training.v1.readiness_pb2_grpc import ReadinessServiceStub
from calisthenics.training.v1.roster_pb2_grpc import RosterServiceStub
from calisthenics.training.v1.schedule_pb2_grpc import ScheduleServiceStub
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from calisthenics.training.v1.workout_pb2_grpc import WorkoutServiceStub
from psycopg import sql
from rich.console import Console
from sqlalchemy import Table

from benchmarks import data
from benchmarks.load import Sample, median, ratio
from benchmarks.processes import database_pid
from benchmarks.rounds import rotated, send
from benchmarks.stack import Target, as_caller, prepared_database, running_service
from training_service.domain.periods import Period
from training_service.embedded import embedded_postgres
from training_service.servicers.convert import to_date
from training_service.storage.statements import written
from training_service.storage.tables import metadata

ADDRESS = "127.0.0.1:15192"
TODAY = data.NOW.date()
DAYS_APART = 2
DAYS_OF_OTHERS = 60
AT_A_TIME = 16
BATCH = 100
MODEL = data.athlete("roster")
"""The athlete of whom all others are copies."""
COACH = data.athlete("coach")
T = TypeVar("T")
NOT_COPIED = ("access_grants", "access_log", "write_requests")


def main(
    athletes: Annotated[int, typer.Option(min=1, max=500, help="How many are in the group.")] = 50,
    others: Annotated[int, typer.Option(min=0, help="How many are in other groups.")] = 2000,
    days: Annotated[int, typer.Option(min=2, help="How long the group has trained.")] = 730,
    count: Annotated[int, typer.Option(min=1, help="Rosters of each turn.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 5,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure one roster and the single calls it stands for."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server_url = stack.enter_context(embedded_postgres(Path(folder) / "postgres"))
        url = prepared_database(server_url, Path(folder))
        service = running_service(stack, url, ADDRESS, 1, Path(folder))
        group_id, members = fill(url, athletes, others, days)
        channel = stack.enter_context(grpc.insecure_channel(ADDRESS))
        pids = {"service": service.pid, "postgresql": database_pid(url)}
        ways = {
            "one roster": partial(ask_roster, channel, group_id),
            "single calls": partial(ask_each, channel, members),
        }
        targets = [
            Target(name, partial(timed, ask), pids, service.log) for name, ask in ways.items()
        ]
        console.print(f"{athletes} athletes among {others} others, {rounds} rounds of {count}")
        samples = turns(targets, count, rounds)
        size = len(ask_roster(channel, group_id))
    written_down = report(console, samples, size)
    if output:
        output.write_text(json.dumps(written_down, indent=1) + "\n")


def fill(url: str, athletes: int, others: int, days: int) -> tuple[str, list[str]]:
    """Stores everything; returns the group's id and its athletes'."""
    make_model(days)
    members = [MODEL, *(str(uuid4()) for _ in range(athletes - 1))]
    strangers = [str(uuid4()) for _ in range(others)]
    with psycopg.connect(url, autocommit=True) as connection:
        for table in metadata.sorted_tables:
            if "external_user_id" in table.c and table.name not in NOT_COPIED:
                copy(connection, table, members[1:])
                copy(connection, table, strangers, of_last_weeks=True)
        group_id = add_group(connection, COACH, members)
        for batch in batches(strangers, max(athletes, 1)):
            add_group(connection, str(uuid4()), batch)
        connection.execute("VACUUM ANALYZE")
    return group_id, members


def make_model(days: int) -> None:
    """Logs, plans and rates as the athlete whom the others are copies of."""
    metadata_ = list(as_caller(MODEL).items())
    with grpc.insecure_channel(ADDRESS) as channel:
        exercise = workout_pb2.WorkoutExercise(
            exercise_id=data.EXERCISES[0], sets=data.SETS, reps={"min": 5, "max": 8}
        )
        workout = WorkoutServiceStub(channel).CreateWorkout(
            workout_pb2.CreateWorkoutRequest(
                workout=workout_pb2.Workout(display_name="Pull day", exercises=[exercise])
            ),
            metadata=metadata_,
        )
        schedule = schedule_pb2.Schedule(
            display_name="Every other day",
            rotation={"workout_ids": [workout.id, ""]},
            start_date=to_date(TODAY - timedelta(200)),
            end_date=to_date(TODAY + timedelta(100)),
        )
        ScheduleServiceStub(channel).CreateSchedule(
            schedule_pb2.CreateScheduleRequest(schedule=schedule), metadata=metadata_
        )
        ReadinessServiceStub(channel).LogWellness(
            readiness_pb2.LogWellnessRequest(
                entry=readiness_pb2.WellnessEntry(
                    local_date=to_date(TODAY),
                    time_zone="UTC",
                    sleep=3,
                    stress=2,
                    fatigue=4,
                    soreness=3,
                )
            ),
            metadata=metadata_,
        )
        sessions = [data.a_session(age) for age in range(0, days, DAYS_APART)]
        for session in sessions:
            session.workout_id, session.workout_revision = workout.id, 1
        for batch in batches(sessions, BATCH):
            entries = [session_pb2.LogSessionRequest(session=one) for one in batch]
            SessionServiceStub(channel).BatchLogSessions(
                session_pb2.BatchLogSessionsRequest(requests=entries, atomic=True),
                metadata=metadata_,
            )


def copy(
    connection: psycopg.Connection,
    table: Table,
    athletes: Sequence[str],
    *,
    of_last_weeks: bool = False,
) -> None:
    """Gives what the model has in a table to others: all of it, or only of the last weeks."""
    names = [c.name for c in written(table)]
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    athlete = sql.Identifier("athlete")
    values = sql.SQL(", ").join(
        athlete if name == "external_user_id" else sql.Identifier(name) for name in names
    )
    since = sql.SQL("")
    if of_last_weeks and "local_date" in names:
        since = sql.SQL("AND local_date > {}").format(TODAY - timedelta(DAYS_OF_OTHERS))
    elif of_last_weeks and table.name == "session_exercises":
        since = sql.SQL("AND false")
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {values}"
            " FROM {table}, unnest({athletes}::uuid[]) AS athlete"
            " WHERE external_user_id = {model} {since}"
        ).format(
            table=sql.Identifier("training", table.name),
            columns=columns,
            values=values,
            athletes=list(athletes),
            model=UUID(MODEL),
            since=since,
        )
    )


def add_group(connection: psycopg.Connection, coach: str, athletes: Sequence[str]) -> str:
    """Stores a group, and that its athletes granted it what a roster shows; returns its id."""
    group_id = str(uuid4())
    connection.execute(
        "INSERT INTO training.groups VALUES (%s, '', 'Bar brothers', 'TEAM', 1, now(), now())",
        [group_id],
    )
    roles = {coach: "COACH", **dict.fromkeys(athletes, "ATHLETE")}
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO training.group_members VALUES (%s, %s, %s, '{}', now())",
            [(group_id, user_id, role) for user_id, role in roles.items()],
        )
        cursor.executemany(
            "INSERT INTO training.access_grants (external_user_id, id, group_id, scopes,"
            " created_at) VALUES (%s, %s, %s, '{READ_METRICS,READ_WELLNESS}', now())",
            [(user_id, uuid4(), group_id) for user_id in athletes],
        )
    return group_id


def ask_roster(channel: grpc.Channel, group_id: str) -> bytes:
    """Asks once about all; returns the answer."""
    request = roster_pb2.GetRosterStatusRequest(group_id=group_id, local_date=to_date(TODAY))
    answer = RosterServiceStub(channel).GetRosterStatus(
        request, metadata=list(as_caller(COACH).items())
    )
    return bytes(answer.SerializeToString())


def ask_each(channel: grpc.Channel, athletes: Sequence[str]) -> None:
    """Asks about each athlete what the roster says, as the coach."""
    for batch in batches(single_calls(channel, athletes), AT_A_TIME):
        for future in [start() for start in batch]:
            future.result()


def single_calls(channel: grpc.Channel, athletes: Sequence[str]) -> Iterator[Callable[[], Any]]:
    """Yields what starts each of the calls."""
    today, tomorrow = to_date(TODAY), to_date(TODAY + timedelta(1))
    metadata_ = list(as_caller(COACH).items())
    for id in athletes:
        for call, request in (
            (
                LoadServiceStub(channel).GetLoadStatus,
                load_pb2.GetLoadStatusRequest(external_user_id=id, local_date=today),
            ),
            (
                ReadinessServiceStub(channel).GetReadiness,
                readiness_pb2.GetReadinessRequest(external_user_id=id, local_date=today),
            ),
            (
                ScheduleServiceStub(channel).ListPlannedSessions,
                schedule_pb2.ListPlannedSessionsRequest(
                    external_user_id=id,
                    from_date=to_date(TODAY - timedelta(27)),
                    to_date=tomorrow,
                ),
            ),
            (
                MetricsServiceStub(channel).ListPersonalRecords,
                metrics_pb2.ListPersonalRecordsRequest(
                    external_user_id=id,
                    from_date=to_date(Period.WEEK.start(TODAY)),
                    to_date=tomorrow,
                ),
            ),
        ):
            yield partial(call.future, request, metadata=metadata_)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields the items, so many at a time."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def timed(ask: Callable[[], object], count: int) -> tuple[float, list[int]]:
    """Asks so often; returns how often a second, and how long each took in microseconds."""
    latencies = []
    begin = time.perf_counter()
    for _ in range(count):
        began = time.perf_counter()
        ask()
        latencies.append(round((time.perf_counter() - began) * 1e6))
    return count / (time.perf_counter() - begin), latencies


def turns(targets: list[Target], count: int, rounds: int) -> dict[str, Sample]:
    """Lets the targets take turns; returns the medians of each."""
    samples: dict[str, list[Sample]] = {one.name: [] for one in targets}
    for number in range(-1, rounds):
        for one in rotated(targets, number):
            sample = send(one, count)
            if number >= 0:  # the first is to warm up
                samples[one.name].append(sample)
    return {name: median(taken) for name, taken in samples.items()}


def report(console: Console, samples: dict[str, Sample], size: int) -> dict[str, Any]:
    """Prints what each took, and how many times the other it is; returns it as JSON has it."""
    for name, sample in samples.items():
        console.print(
            f"{name:12} {sample.latency_ms[50]:8.1f} ms,"
            f" {sample.total_cpu_us / 1000:8.1f} ms of CPU,"
            f" {sample.cpu_us['postgresql'] / 1000:.1f} of them PostgreSQL's",
            soft_wrap=True,
        )
    roster, single = samples["one roster"], samples["single calls"]
    by_time = ratio(roster.latency_ms[50], single.latency_ms[50])
    by_cpu = ratio(roster.total_cpu_us, single.total_cpu_us)
    console.print(f"ratio {by_time:.3f} by time, {by_cpu:.3f} by CPU; {size:,} bytes")
    return {
        "latency_ms": {name: sample.latency_ms[50] for name, sample in samples.items()},
        "cpu_us": {name: dict(sample.cpu_us) for name, sample in samples.items()},
        "ratio": {"time": by_time, "cpu": by_cpu},
        "roster_bytes": size,
    }


if __name__ == "__main__":
    typer.run(main)
