"""The service as one athlete's client sees it."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from calisthenics.training.v1 import exercise_pb2, session_pb2, workout_pb2
from calisthenics.training.v1.exercise_pb2_grpc import ExerciseServiceStub
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from calisthenics.training.v1.workout_pb2_grpc import WorkoutServiceStub
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

HEALTH_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 30.0
PAGE_SIZE = 10
"""Small, so that a month takes more than one page."""

SERVICE_NAME = session_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name


class DemoError(Exception):
    """The demo can't go on; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service refused a call."""

    status: str
    reason: str
    message: str

    @classmethod
    def of(cls, error: grpc.RpcError) -> "Refusal":
        """Reads the google.rpc.ErrorInfo that comes with every refusal of the service."""
        status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
        info = error_details_pb2.ErrorInfo()
        found = status is not None and any(detail.Unpack(info) for detail in status.details)
        return cls(error.code().name, info.reason if found else "", error.details() or "")

    def __str__(self) -> str:
        return f"{self.reason or self.status}, {self.message}"


@dataclass(frozen=True)
class _CallDetails(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _AsAthlete(grpc.UnaryUnaryClientInterceptor):
    """Says with every call who makes it, and for how long it may take."""

    def __init__(self, external_user_id: str) -> None:
        self._identity = ("x-external-user-id", external_user_id)

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Any], Any],
        client_call_details: grpc.ClientCallDetails,
        request: Any,
    ) -> Any:
        given = client_call_details
        details = _CallDetails(
            method=given.method,
            timeout=given.timeout or CALL_TIMEOUT_SECONDS,
            metadata=[*(given.metadata or ()), self._identity],
            credentials=given.credentials,
            wait_for_ready=given.wait_for_ready,
            compression=given.compression,
        )
        return continuation(details, request)


def check_serving(channel: grpc.Channel, target: str) -> None:
    """Raises DemoError unless a Training Service that is ready for calls is at the other end."""
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    health: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = health.Check(request, timeout=HEALTH_TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
            raise DemoError(f"What answers at {target} is not a Training Service.") from None
        raise DemoError(
            f"No service answers at {target}. `training-service serve` starts one."
        ) from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise DemoError(
            f"The service at {target} is not serving: its database is down or not migrated."
        )


class Client:
    """An athlete's calls, each under the athlete's own identity."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.external_user_id = str(uuid.uuid4())
        mine = grpc.intercept_channel(channel, _AsAthlete(self.external_user_id))
        self._exercises = ExerciseServiceStub(mine)
        self._workouts = WorkoutServiceStub(mine)
        self.sessions = SessionServiceStub(mine)

    def exercises(self, slugs: Iterable[str]) -> dict[str, exercise_pb2.Exercise]:
        """Returns exercises of the catalogue by slug."""
        request = exercise_pb2.BatchGetExercisesRequest(exercises=sorted(slugs))
        try:
            found = self._exercises.BatchGetExercises(request).exercises
        except grpc.RpcError as error:
            refusal = Refusal.of(error)
            if refusal.reason != "EXERCISE_NOT_FOUND":
                raise
            raise DemoError(
                "The service lacks the exercise catalogue. `training-service seed` adds it."
            ) from None
        return {exercise.slug: exercise for exercise in found}

    def create_workout(self, workout: workout_pb2.Workout) -> workout_pb2.Workout:
        """Stores a workout's first revision."""
        return self._workouts.CreateWorkout(
            workout_pb2.CreateWorkoutRequest(workout=workout, request_id=_request_id())
        )

    def revise_workout(
        self, current: workout_pb2.Workout, revised: workout_pb2.Workout
    ) -> workout_pb2.Workout:
        """Stores another description and other exercises, unless someone else was faster."""
        request = workout_pb2.UpdateWorkoutRequest(
            workout_id=current.id, workout=revised, request_id=_request_id()
        )
        request.workout.etag = current.etag
        request.update_mask.paths.extend(["description", "exercises"])
        return self._workouts.UpdateWorkout(request)

    def instantiate(self, workout: workout_pb2.Workout) -> session_pb2.Session:
        """Returns the draft of a session that follows this revision of a workout."""
        return self._workouts.InstantiateWorkout(
            workout_pb2.InstantiateWorkoutRequest(workout_id=workout.id, revision=workout.revision)
        )

    def log(self, session: session_pb2.Session) -> session_pb2.Session:
        """Stores a session."""
        return self.sessions.LogSession(_log_request(session))

    def log_batch(self, sessions: Sequence[session_pb2.Session]) -> list[session_pb2.Session]:
        """Stores sessions, all or none."""
        request = session_pb2.BatchLogSessionsRequest(
            requests=[_log_request(session) for session in sessions], atomic=True
        )
        results = self.sessions.BatchLogSessions(request).results
        for result in results:
            if result.HasField("status"):
                raise DemoError(f"The service refused a batch: {result.status.message}")
        return [result.session for result in results]

    def amend(
        self, logged: session_pb2.Session, corrected: session_pb2.Session, reason: str
    ) -> None:
        """Replaces a session by a corrected one."""
        self.sessions.AmendSession(
            session_pb2.AmendSessionRequest(
                session_id=logged.id, session=corrected, reason=reason, request_id=_request_id()
            )
        )

    def void(self, logged: session_pb2.Session, reason: str) -> None:
        """Takes a session back."""
        self.sessions.VoidSession(
            session_pb2.VoidSessionRequest(
                session_id=logged.id, reason=reason, request_id=_request_id()
            )
        )

    def list_sessions(
        self, request: session_pb2.ListSessionsRequest
    ) -> Iterator[session_pb2.Session]:
        """Yields the sessions of all pages of a listing."""
        while True:
            page = self.sessions.ListSessions(request)
            yield from page.sessions
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _log_request(session: session_pb2.Session) -> session_pb2.LogSessionRequest:
    return session_pb2.LogSessionRequest(session=session, request_id=_request_id())


def _request_id() -> str:
    return str(uuid.uuid4())
