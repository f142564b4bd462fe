"""What tests talk to the service with: real servers, real channels, and athletes who call."""

import asyncio
import base64
import contextlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import ModuleType
from typing import IO, Any

import grpc
import psycopg
import uvloop
from calisthenics.training.v1 import (
    coaching_pb2,
    exercise_pb2_grpc,
    goal_pb2,
    group_pb2,
    phase_pb2,
    progression_pb2,
    readiness_pb2,
    schedule_pb2,
    session_pb2,
    workout_pb2,
    workout_pb2_grpc,
)
from calisthenics.training.v1.adaptation_pb2_grpc import AdaptationServiceStub
from calisthenics.training.v1.assignment_pb2_grpc import AssignmentServiceStub
from calisthenics.training.v1.coaching_pb2_grpc import CoachingServiceStub
from calisthenics.training.v1.form_pb2_grpc import FormServiceStub
from calisthenics.training.v1.goal_pb2_grpc import GoalServiceStub
from calisthenics.training.v1.governance_pb2_grpc import GovernanceServiceStub
from calisthenics.training.v1.group_pb2_grpc import GroupServiceStub
from calisthenics.training.v1.load_pb2_grpc import LoadServiceStub
from calisthenics.training.v1.metrics_pb2_grpc import MetricsServiceStub
from calisthenics.training.v1.phase_pb2_grpc import PhaseServiceStub
from calisthenics.training.v1.prediction_pb2_grpc import PredictionServiceStub
from calisthenics.training.v1.program_pb2_grpc import ProgramServiceStub
from calisthenics.training.v1.progression_pb2_grpc import ProgressionServiceStub
from calisthenics.training.v1.readiness_pb2_grpc import ReadinessServiceStub
from calisthenics.training.v1.recommendation_pb2_grpc import RecommendationServiceStub
from calisthenics.training.v1.roster_pb2_grpc import RosterServiceStub
from calisthenics.training.v1.schedule_pb2_grpc import ScheduleServiceStub
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from calisthenics.training.v1.skill_pb2_grpc import SkillServiceStub
from calisthenics.training.v1.team_pb2_grpc import TeamServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2
from sqlalchemy import make_url

from training_service import contract
from training_service.domain.exercise import exercise_id
from training_service.server import TrainingServer
from training_service.settings import Settings
from training_service.storage.pipeline import OneWritePipeline

HOUSEKEEPING = (
    r"alembic_version|installation|pg_roles|catalogue_state|FROM training\.exercises|refuse_erased"
    r"|training\.admit|pg_current_wal|pg_control"
)
"""Statements that no call has of its own: health checks, what is remembered, and those that begin
each athlete's transaction and say how far the log is."""

PULL_UP = str(exercise_id("pull-up"))
PUSH_UP = str(exercise_id("push-up"))
L_SIT = str(exercise_id("l-sit"))  # isometric
PISTOL_SQUAT = str(exercise_id("pistol-squat"))  # unilateral


class RunningService:
    """The service in a thread of this process, on a free port."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._loop: Any = None
        self._stop: asyncio.Event | None = None
        self.port = 0

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = TrainingServer(self._settings, self._url)
        self.port = await server.start()
        try:
            async with asyncio.timeout(20):
                await server.wait_until_serving()
            self._started.set()
            await self._stop.wait()
        finally:
            await server.stop()

    def start(self) -> None:
        """Returns when the service reports SERVING."""
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Drains and ends the service; fails when it does not end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the service did not end"

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


@contextmanager
def running_service(url: str, **settings: Any) -> Iterator[RunningService]:
    """Runs the service on a database."""
    defaults: dict[str, Any] = {
        "listen_address": "127.0.0.1:0",
        "grace_seconds": 2,
        "log_level": "ERROR",
        **UNLIMITED,
        "access_log": "off",
    }
    service = RunningService(Settings(**{**defaults, **settings}), url)
    service.start()
    try:
        yield service
    finally:
        service.stop()


class _WithMetadata(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or []), *self._metadata]
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_stream = intercept_unary_unary
    intercept_stream_stream = intercept_unary_unary


STREAMS = {
    f"/{m.containing_service.full_name}/{m.name}": m.client_streaming
    for m in contract.methods()
    if m.server_streaming
}
"""Paths of the RPCs that stream their answer, with whether they stream the request too."""


def call_bytes(
    channel: grpc.Channel, path: str, body: bytes, metadata: list[tuple[str, str]] | None = None
) -> bytes:
    """Makes a call with bytes that need not be a message. Returns the bytes of the answer; those
    of a stream in one, which for protobuf is the messages merged."""
    if STREAMS.get(path):
        return b"".join(channel.stream_stream(path)(iter([body]), metadata=metadata))
    if path in STREAMS:
        return b"".join(channel.unary_stream(path)(body, metadata=metadata))
    response: bytes = channel.unary_unary(path)(body, metadata=metadata)
    return response


class Athlete:
    """A caller with an identity, and a stub of each service that carries it."""

    def __init__(
        self,
        address: str,
        *,
        roles: str = "",
        metadata: Mapping[str, str] | None = None,
        user_id: str = "",
        channel: grpc.Channel | None = None,
    ) -> None:
        named = (metadata or {}).get("x-external-user-id", "")
        self.id = user_id or named or str(uuid.uuid4())
        self._address = address
        pairs = [("x-external-user-id", self.id)] if metadata is None else list(metadata.items())
        if roles:
            pairs.append(("x-caller-scope", f"training:{roles}"))
        self.metadata = pairs
        # Without the probe a channel takes as much as it is given: it grows its window on a machine
        # that is busy, and no reader would ever hold a stream up.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
        self._channel = channel or grpc.insecure_channel(address, options=options)
        self.channel = grpc.intercept_channel(self._channel, _WithMetadata(pairs))
        self.exercises = exercise_pb2_grpc.ExerciseServiceStub(self.channel)
        self.workouts = workout_pb2_grpc.WorkoutServiceStub(self.channel)
        self.sessions = SessionServiceStub(self.channel)
        self.metrics = MetricsServiceStub(self.channel)
        self.loads = LoadServiceStub(self.channel)
        self.schedules = ScheduleServiceStub(self.channel)
        self.programs = ProgramServiceStub(self.channel)
        self.coaching = CoachingServiceStub(self.channel)
        self.governance = GovernanceServiceStub(self.channel)
        self.groups = GroupServiceStub(self.channel)
        self.assignments = AssignmentServiceStub(self.channel)
        self.teams = TeamServiceStub(self.channel)
        self.rosters = RosterServiceStub(self.channel)
        self.adaptations = AdaptationServiceStub(self.channel)
        self.readiness = ReadinessServiceStub(self.channel)
        self.skills = SkillServiceStub(self.channel)
        self.phases = PhaseServiceStub(self.channel)
        self.goals = GoalServiceStub(self.channel)
        self.recommendations = RecommendationServiceStub(self.channel)
        self.progression = ProgressionServiceStub(self.channel)
        self.form = FormServiceStub(self.channel)
        self.predictions = PredictionServiceStub(self.channel)

    def as_another(self, user_id: str = "") -> "Athlete":
        """Returns somebody else, new unless named, on the same channel."""
        return Athlete(self._address, user_id=user_id, channel=self._channel)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def log(
        self, session: session_pb2.Session | None = None, **request: Any
    ) -> session_pb2.Session:
        """Logs a session, a plain one unless another is given."""
        message = session_pb2.LogSessionRequest(session=session or a_session(), **request)
        return self.sessions.LogSession(message)

    def create_workout(self, **fields: Any) -> workout_pb2.Workout:
        """Creates a workout, a plain one but for the fields given."""
        return self.workouts.CreateWorkout(
            workout_pb2.CreateWorkoutRequest(workout=a_workout(**fields))
        )


def at(text: str) -> Timestamp:
    """Returns an instant written as ISO 8601, UTC unless it says otherwise."""
    instant = datetime.fromisoformat(text)
    timestamp = Timestamp()
    timestamp.FromDatetime(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    return timestamp


def a_session(**fields: Any) -> session_pb2.Session:
    """Returns a session of two exercises; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "start_time": at("2026-03-02T17:00:00"),
        "time_zone": "Europe/Berlin",
        "duration_seconds": 3300,
        "session_rpe": 7,
        "body_mass_kg": 75,
        "exercises": [
            session_pb2.SessionExercise(
                exercise_id=PULL_UP,
                sets=[session_pb2.PerformedSet(actual_reps=6, load_kg=10, rpe=8)] * 4,
            ),
            session_pb2.SessionExercise(
                exercise_id=L_SIT, sets=[session_pb2.PerformedSet(actual_hold_seconds=12.5)]
            ),
        ],
    }
    return session_pb2.Session(**{**usual, **fields})


def a_workout(**fields: Any) -> workout_pb2.Workout:
    """Returns a workout of two exercises; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "display_name": "Pull day",
        "exercises": [
            workout_pb2.WorkoutExercise(
                exercise_id=PULL_UP, sets=4, reps={"min": 5, "max": 8}, rest_seconds=120, load_kg=10
            ),
            workout_pb2.WorkoutExercise(
                exercise_id=L_SIT, sets=3, hold={"min_seconds": 10, "max_seconds": 20}
            ),
        ],
    }
    return workout_pb2.Workout(**{**usual, **fields})


def a_wellness(**fields: Any) -> readiness_pb2.WellnessEntry:
    """Returns a wellness entry of today, 12 by Hooper; fields replace the usual ones."""
    usual = {"time_zone": "UTC", "sleep": 3, "stress": 2, "fatigue": 4, "soreness": 3}
    return readiness_pb2.WellnessEntry(**{**usual, **fields})


def a_phase(**fields: Any) -> phase_pb2.Phase:
    """Returns a mesocycle of the four weeks from 2026-03-02 on; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "kind": phase_pb2.PHASE_KIND_MESOCYCLE,
        "start_date": {"year": 2026, "month": 3, "day": 2},
        "end_date": {"year": 2026, "month": 3, "day": 30},
        "display_name": "Strength",
        "focus": phase_pb2.PHASE_FOCUS_STRENGTH,
        "volume_factors": [1, 1.05, 1.1, 0.6],
        "deload_weeks": [4],
    }
    return phase_pb2.Phase(**{**usual, **fields})


def a_schedule(*workout_ids: str, **fields: Any) -> schedule_pb2.Schedule:
    """Returns a rotation of the two weeks from 2026-03-02 on; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "display_name": "Every other day",
        "start_date": {"year": 2026, "month": 3, "day": 2},
        "end_date": {"year": 2026, "month": 3, "day": 16},
    }
    if not fields.keys() & {"weekly", "rotation"}:
        usual["rotation"] = {"workout_ids": workout_ids}
    return schedule_pb2.Schedule(**{**usual, **fields})


def a_goal(**fields: Any) -> goal_pb2.Goal:
    """Returns a goal of 12 pull-ups; fields replace the usual ones."""
    if not fields.keys() & {one.name for one in goal_pb2.Goal.DESCRIPTOR.oneofs[0].fields}:
        fields["reps"] = {"exercise_id": PULL_UP, "reps": 12}
    return goal_pb2.Goal(**{"display_name": "Twelve in a row", **fields})


def a_grant(**fields: Any) -> coaching_pb2.Grant:
    """Returns a grant for somebody to read sessions; fields replace the usual ones."""
    usual = {"grantee_user_id": str(uuid.uuid4()), "scopes": ["GRANT_SCOPE_READ_SESSIONS"]}
    return coaching_pb2.Grant(**{**usual, **fields})


def a_group(**fields: Any) -> group_pb2.Group:
    """Returns a team; fields replace the usual ones."""
    return group_pb2.Group(**{"display_name": "Bar brothers", "kind": "GROUP_KIND_TEAM", **fields})


def an_invitation(user_id: str, **fields: Any) -> group_pb2.Invitation:
    """Returns an invitation of an athlete; fields replace the usual ones."""
    return group_pb2.Invitation(**{"user_id": user_id, "role": "MEMBER_ROLE_ATHLETE", **fields})


def grant(athlete: Athlete, coach_id: str, *scopes: int, **fields: Any) -> coaching_pb2.Grant:
    """Grants somebody scopes."""
    message = coaching_pb2.Grant(grantee_user_id=coach_id, scopes=scopes, **fields)
    return athlete.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))


def revoke(athlete: Athlete, granted: coaching_pb2.Grant, **request: Any) -> coaching_pb2.Grant:
    """Takes a grant back."""
    return athlete.coaching.RevokeGrant(
        coaching_pb2.RevokeGrantRequest(grant_id=granted.id, **request)
    )


def expire(owner: psycopg.Connection, granted: coaching_pb2.Grant) -> None:
    """Moves the end of a grant into the past."""
    query = "UPDATE training.access_grants SET expires_at = now() - interval '1 s' WHERE id = %s"
    owner.execute(query, [granted.id])


def uses(athlete: Athlete, **request: Any) -> list[coaching_pb2.AccessLogEntry]:
    """Returns who made use of an athlete's grants, the last first."""
    response = athlete.coaching.ListAccessLog(coaching_pb2.ListAccessLogRequest(**request))
    return list(response.entries)


def new_group(coach: Athlete, **fields: Any) -> group_pb2.Group:
    """Creates a group that somebody coaches."""
    return coach.groups.CreateGroup(group_pb2.CreateGroupRequest(group=a_group(**fields)))


def invite(
    coach: Athlete, group: group_pb2.Group, user_id: str, **fields: Any
) -> group_pb2.Invitation:
    """Invites somebody, as an athlete unless they are to be something else."""
    request = group_pb2.CreateInvitationRequest(
        group_id=group.id, invitation=an_invitation(user_id, **fields)
    )
    return coach.groups.CreateInvitation(request)


def accept(user: Athlete, invitation: group_pb2.Invitation, **request: Any) -> group_pb2.Member:
    """Accepts an invitation; fields of the request may grant something."""
    return user.groups.AcceptInvitation(
        group_pb2.AcceptInvitationRequest(invitation_id=invitation.id, **request)
    )


def enter(
    coach: Athlete,
    group: group_pb2.Group,
    user: Athlete,
    role: str = "MEMBER_ROLE_ATHLETE",
    **request: Any,
) -> group_pb2.Member:
    """Invites somebody, who accepts."""
    return accept(user, invite(coach, group, user.id, role=role), **request)


def remove(user: Athlete, group: group_pb2.Group, member_user_id: str, **request: Any) -> None:
    """Takes somebody out of a group."""
    user.groups.RemoveMember(
        group_pb2.RemoveMemberRequest(group_id=group.id, member_user_id=member_user_id, **request)
    )


def a_rule(**fields: Any) -> progression_pb2.ProgressionRule:
    """Returns a rule for pull-ups by repetitions; fields replace the usual ones."""
    usual: dict[str, Any] = {
        "exercise_id": PULL_UP,
        "goal": {"set_count": 3, "reps": {"min": 5, "max": 8}},
        "policy": {"double_progression": {}},
        "start_date": {"year": 2026, "month": 1, "day": 5},
    }
    return progression_pb2.ProgressionRule(**{**usual, **fields})


def forged_token(token: str, *key: object) -> str:
    """Returns a token of the same listing with another sort key."""
    listing = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([listing, *key]).encode()).decode().rstrip("=")


UNLIMITED = {
    **{f"rate_{kind}_per_second": 0 for kind in ("reads", "writes", "streams", "charts")},
    "max_streams_per_caller": 0,
}
"""Settings of services under test: tests call as fast as they can."""


class Refusal:
    """A refused call: its status and the details that every refusal carries."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code: grpc.StatusCode = error.code()
        self.message: str = error.details()
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.fields: list[str] = []
        self.retry_after_seconds: float | None = None
        self.quotas: list[error_details_pb2.QuotaFailure.Violation] = []
        trailing = dict(error.trailing_metadata() or ())
        packed = trailing.get("grpc-status-details-bin")
        status = status_pb2.Status.FromString(packed) if packed else status_pb2.Status()
        self.read(status)

    def read(self, status: status_pb2.Status) -> None:
        """Takes over the details of a status."""
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            bad = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            quota = error_details_pb2.QuotaFailure()
            if detail.Unpack(info):
                self.reason = info.reason
                self.metadata = dict(info.metadata)
            elif detail.Unpack(bad):
                self.fields = [v.field for v in bad.field_violations]
            elif detail.Unpack(quota):
                self.quotas = list(quota.violations)
            elif detail.Unpack(retry):
                self.retry_after_seconds = retry.retry_delay.ToTimedelta().total_seconds()


@contextmanager
def refused(reason: str, code: grpc.StatusCode | None = None) -> Iterator[list[Refusal]]:
    """Expects the calls in the block to be refused for a reason; holds the refusal afterwards.

    with refused("SESSION_NOT_FOUND") as refusals: ...
    assert refusals[0].fields == ["session_id"]
    """
    found: list[Refusal] = []
    try:
        yield found
    except grpc.RpcError as error:
        found.append(Refusal(error))
        assert found[0].reason == reason, (found[0].code, found[0].message)
        assert code is None or found[0].code is code
        return
    raise AssertionError(f"the call succeeded; {reason} expected")


class Queries:
    """The SQL that reached the database while recording."""

    def __init__(self) -> None:
        self.sql: list[str] = []

    def clear(self) -> None:
        """Forgets what was recorded."""
        self.sql.clear()

    @property
    def data(self) -> list[str]:
        """The statements, without BEGIN, SET and COMMIT, and HOUSEKEEPING."""
        return [
            q
            for q in self.sql
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", q)
            and not re.search(HOUSEKEEPING, q)
        ]


@contextmanager
def patched_queries(patch: Any, seen: Queries | None = None) -> Iterator[None]:
    """Passes every statement through `patch` on its way to the database."""
    original = psycopg.AsyncCursor.execute

    async def execute(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(query, str):
            query = patch(query)
            if seen is not None:
                seen.sql.append(query)
        return await original(self, query, *args, **kwargs)

    original_queue = OneWritePipeline.queue

    def queue(self: OneWritePipeline, command: bytes) -> None:
        if seen is not None:
            seen.sql.append(command.decode())
        original_queue(self, command)

    psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
    OneWritePipeline.queue = queue  # type: ignore[method-assign]
    try:
        yield
    finally:
        psycopg.AsyncCursor.execute = original  # type: ignore[method-assign]
        OneWritePipeline.queue = original_queue  # type: ignore[method-assign]


class Proxy:
    """A TCP port in front of PostgreSQL, which can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut = False
        self._open: list[socket.socket] = []
        port = self._listener.getsockname()[1]
        through = self._target.set(host="127.0.0.1", port=port, query={})
        self.url = through.render_as_string(hide_password=False)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            upstream = self._connect()
            self._open += [client, upstream]
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket:
        folder = self._target.query.get("host")
        port = self._target.port or 5432
        if folder:
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(f"{folder}/.s.PGSQL.{port}")
            return upstream
        return socket.create_connection((self._target.host or "127.0.0.1", port))

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def cut(self) -> None:
        """Ends every connection and accepts no more."""
        self._cut = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        """Accepts connections again."""
        self._cut = False

    def close(self) -> None:
        """Ends the proxy."""
        self.cut()
        self._listener.close()


def failpoints_of(module: ModuleType) -> list[str]:
    """Returns the names of a module's failpoints, in the order of its text."""
    return re.findall(r'\breach\("(.+?)"\)', inspect.getsource(module))


_WAITING = """
    SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (
        SELECT pid FROM pg_locks
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""


def waiting_count(connection: psycopg.Connection) -> int:
    """Returns how many wait for a lock of the database, on all nodes of a cluster."""
    query = _WAITING
    [(cluster,)] = connection.execute("SELECT to_regproc('run_command_on_all_nodes')")
    if cluster is not None:
        query = f"SELECT sum(result::int) FROM run_command_on_all_nodes($${_WAITING}$$)"
    [(count,)] = connection.execute(query)
    return int(count)


def eventually(condition: Callable[[], bool], *, within_seconds: float = 20.0) -> None:
    """Waits until a condition holds; fails when it never does."""
    end = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class ServiceProcess:
    """`training-service serve` as a process of its own."""

    def __init__(
        self,
        url: str,
        *options: str,
        port: int = 0,
        stdout: int | IO[str] = subprocess.DEVNULL,
        **settings: str,
    ) -> None:
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("TRAINING_")},
            "TRAINING_DATABASE_URL": url,
            "TRAINING_LISTEN_ADDRESS": self.address,
            "TRAINING_LOG_LEVEL": "WARNING",
            **{f"TRAINING_{name.upper()}": str(value) for name, value in UNLIMITED.items()},
            "TRAINING_ACCESS_LOG": "off",
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training_service", "serve", *options],
            env=environment,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Returns when the ready line was printed."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            if "ready on" in line:
                return
            seen.append(line)
        raise AssertionError("".join(seen))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@contextmanager
def service_process(url: str, *options: str, **settings: Any) -> Iterator[ServiceProcess]:
    """Runs the service as a process and waits until it is ready."""
    running = ServiceProcess(url, *options, **settings)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.stop(signal.SIGKILL)
