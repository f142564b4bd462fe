"""How many connections PgBouncer makes of the service's."""

from calisthenics.training.v1 import session_pb2 as pb

from tests.pooled.conftest import CLIENTS, POOL_SIZE, PgBouncer
from tests.support import Athlete, a_session, eventually


def test_the_service_shares_few_connections_to_the_database(
    pgbouncer: PgBouncer, alice: Athlete, bob: Athlete
) -> None:
    request = pb.LogSessionRequest(session=a_session())
    eventually(lambda: pgbouncer.of_service("POOLS")["cl_active"] == CLIENTS)
    calls = [athlete.sessions.LogSession.future(request) for athlete in [alice, bob] * CLIENTS]
    assert {call.result().external_user_id for call in calls} == {alice.id, bob.id}
    pool = pgbouncer.of_service("POOLS")
    states = ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login")
    assert 1 <= sum(pool[state] for state in states) <= POOL_SIZE
