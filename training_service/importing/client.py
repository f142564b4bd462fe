"""The calls an import makes, as the athlete whose log it is."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import grpc
from calisthenics.training.v1 import exercise_pb2, session_pb2
from calisthenics.training.v1.exercise_pb2_grpc import ExerciseServiceStub
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub

from training_service.client import AsAthlete, ClientError

PAGE_SIZE = 1000
SEARCH_RESULTS = 5


class Client:
    """An athlete's calls, under the athlete's own identity."""

    def __init__(self, channel: grpc.Channel, external_user_id: UUID) -> None:
        mine = grpc.intercept_channel(channel, AsAthlete(str(external_user_id)))
        self._exercises = ExerciseServiceStub(mine)
        self._sessions = SessionServiceStub(mine)

    def catalogue(self) -> list[exercise_pb2.Exercise]:
        """Returns all active exercises. Raises ClientError if there are none."""
        request = exercise_pb2.ListExercisesRequest(page_size=PAGE_SIZE)
        found: list[exercise_pb2.Exercise] = []
        while True:
            page = self._exercises.ListExercises(request)
            found += page.exercises
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        if not found:
            raise ClientError(
                "The service lacks the exercise catalogue. `training-service seed` adds it."
            )
        return found

    def search(self, query: str) -> Sequence[exercise_pb2.Exercise]:
        """Returns the exercises whose names are most like a text, best first."""
        request = exercise_pb2.ListExercisesRequest(query=query, page_size=SEARCH_RESULTS)
        return self._exercises.ListExercises(request).exercises

    def stored_ids(self, first: datetime, last: datetime) -> set[str]:
        """Returns the ids of all sessions that began between two instants, retracted ones too."""
        request = session_pb2.ListSessionsRequest(page_size=PAGE_SIZE, show_retracted=True)
        request.from_time.FromDatetime(first)
        request.to_time.FromDatetime(last)
        request.to_time.seconds += 1  # The end is not part of the range.
        found: set[str] = set()
        while True:
            page = self._sessions.ListSessions(request)
            found.update(session.id for session in page.sessions)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def log(
        self, requests: Sequence[session_pb2.LogSessionRequest]
    ) -> Sequence[session_pb2.BatchLogSessionsResult]:
        """Stores sessions, each for itself; returns what became of each, in their order."""
        batch = session_pb2.BatchLogSessionsRequest(requests=requests)
        return self._sessions.BatchLogSessions(batch).results
