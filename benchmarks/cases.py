"""What is compared: for each case, the same request to several targets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from calisthenics.training.v1 import exercise_pb2
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf import json_format
from google.protobuf.message import Message

from benchmarks.data import a_session
from benchmarks.load import Request, grpc_request

SESSIONS = "/calisthenics.training.v1.SessionService"
EXERCISES = "/calisthenics.training.v1.ExerciseService"
REST = "/api/v1/training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One RPC with one request."""

    name: str
    path: str
    message: Message
    count: int
    """How often it is sent in one round."""

    @property
    def athlete(self) -> str:
        """Whose data it is about."""
        return self.message.external_user_id  # type: ignore[attr-defined, no-any-return]

    def to_grpc(self, address: str, metadata: Mapping[str, str]) -> Request:
        """Returns it as a gRPC call."""
        return grpc_request(address, self.path, self.message, metadata)

    def to_rest(self, address: str, athlete: str, token: str) -> Request:
        """Returns it as a REST call; only for the cases of `core` and `logging`."""
        headers = {"authorization": f"Bearer {token}"}
        sessions = f"http://{address}{REST}/users/{athlete}/sessions"
        message = self.message
        if isinstance(message, pb.LogSessionRequest):
            headers["content-type"] = "application/json"
            body = json.dumps(json_format.MessageToDict(message.session)).encode()
            return Request(url=sessions, headers=headers, body=body)
        if isinstance(message, pb.GetSessionRequest):
            return Request(url=f"{sessions}/{quote(message.session_id)}", headers=headers)
        assert isinstance(message, pb.ListSessionsRequest)
        query = f"pageSize={message.page_size}&view=SESSION_VIEW_FULL"
        return Request(url=f"{sessions}?{query}", headers=headers)


def core(athlete: str, session_id: str, scale: float) -> list[Case]:
    """Returns the reads that most of the traffic is."""
    listing = pb.ListSessionsRequest(
        external_user_id=athlete, page_size=20, view=pb.SESSION_VIEW_FULL
    )
    return [
        Case(
            name="GetSession",
            path=f"{SESSIONS}/GetSession",
            message=pb.GetSessionRequest(external_user_id=athlete, session_id=session_id),
            count=int(3000 * scale),
        ),
        Case(
            name="ListSessions(20)",
            path=f"{SESSIONS}/ListSessions",
            message=listing,
            count=int(1200 * scale),
        ),
    ]


def logging(athlete: str, scale: float) -> Case:
    """Returns the call that logs a session; each one is stored."""
    return Case(
        name="LogSession",
        path=f"{SESSIONS}/LogSession",
        message=pb.LogSessionRequest(external_user_id=athlete, session=a_session()),
        count=int(2000 * scale),
    )


def wide(athlete: str, scale: float) -> list[Case]:
    """Returns a page of a thousand sessions, and a batch of a hundred."""
    listing = pb.ListSessionsRequest(
        external_user_id=athlete, page_size=1000, view=pb.SESSION_VIEW_FULL
    )
    entry = pb.LogSessionRequest(session=a_session())
    batch = pb.BatchLogSessionsRequest(external_user_id=athlete, requests=[entry] * 100)
    return [
        Case(
            name="ListSessions(1,000)",
            path=f"{SESSIONS}/ListSessions",
            message=listing,
            count=max(8, int(100 * scale)),
        ),
        Case(
            name="BatchLogSessions(100)",
            path=f"{SESSIONS}/BatchLogSessions",
            message=batch,
            count=max(8, int(60 * scale)),
        ),
    ]


def catalogue(scale: float) -> list[Case]:
    """Returns the reads of the catalogue."""
    return [
        Case(
            name="GetExercise",
            path=f"{EXERCISES}/GetExercise",
            message=exercise_pb2.GetExerciseRequest(exercise="pull-up"),
            count=int(4000 * scale),
        ),
        Case(
            name="ListExercises(50)",
            path=f"{EXERCISES}/ListExercises",
            message=exercise_pb2.ListExercisesRequest(page_size=50),
            count=int(1500 * scale),
        ),
    ]


def export(athlete: str, scale: float) -> Case:
    """Returns the export of everything an athlete has logged."""
    return Case(
        name="ExportSessions",
        path=f"{SESSIONS}/ExportSessions",
        message=pb.ExportSessionsRequest(external_user_id=athlete),
        count=max(2, int(5 * scale)),
    )


def scaling(athlete: str, session_id: str, scale: float) -> list[Case]:
    """Returns calls that show what another worker adds, with the database and without."""
    with_database = next(c for c in core(athlete, session_id, scale) if c.name == "GetSession")
    without = next(c for c in catalogue(scale) if c.name == "GetExercise")
    return [replace(c, name=f"{c.name}, scaling") for c in (with_database, without)]
