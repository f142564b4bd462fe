"""SessionService over a real channel."""

from calisthenics.training.v1 import session_pb2 as pb

from tests.support import Athlete, refused


def test_a_logged_session_comes_back_as_acknowledged(alice: Athlete, bob: Athlete) -> None:
    logged = alice.log()
    assert alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id)) == logged
    with refused("SESSION_NOT_FOUND") as refusals:
        bob.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    assert refusals[0].fields == ["session_id"]
