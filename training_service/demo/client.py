"""The service as one athlete's client sees it."""

import uuid
from collections.abc import Iterable, Iterator, Sequence

import grpc
from calisthenics.training.v1 import exercise_pb2, session_pb2, workout_pb2
from calisthenics.training.v1.exercise_pb2_grpc import ExerciseServiceStub
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from calisthenics.training.v1.workout_pb2_grpc import WorkoutServiceStub

from training_service.client import AsAthlete, ClientError, Refusal

PAGE_SIZE = 10
"""Small, so that a month takes more than one page."""


class DemoError(ClientError):
    """The demo can't go on; the message says why in one line."""


class Client:
    """An athlete's calls, each under the athlete's own identity."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.external_user_id = str(uuid.uuid4())
        mine = grpc.intercept_channel(channel, AsAthlete(self.external_user_id))
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
