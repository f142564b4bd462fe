"""An installation as docs/operations.md describes it: owner, service login, and no superuser."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2
from sqlalchemy import make_url

from tests.citus import Cluster
from tests.conftest import embed_in, seed
from tests.support import Athlete, refused, running_service
from training_service import server
from training_service.doctor import Verdict, examine
from training_service.errors import Reason, TrainingError, database_unavailable
from training_service.settings import Settings, SettingsError
from training_service.storage.database import Database
from training_service.storage.diagnosis import diagnose
from training_service.storage.exercise_vector import Embedded
from training_service.storage.migrations import migrate

PASSWORD = "a-password"


def as_login(url: str, name: str) -> str:
    return make_url(url).set(username=name, password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture
def logins(
    server_url: str, make_database: Callable[[], str], cluster: Cluster
) -> Iterator[tuple[str, str, str]]:
    """A database with an owner and a service login, gone at the end."""
    url = make_database()
    name = make_url(url).database
    suffix = uuid.uuid4().hex[:8]
    owner, service = f"test_owner_{suffix}", f"test_service_{suffix}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
        connection.execute(f"CREATE ROLE {service} LOGIN NOINHERIT PASSWORD '{PASSWORD}'")
        with psycopg.connect(url, autocommit=True) as inside:  # from where workers learn of it
            inside.execute(f'GRANT ALL ON DATABASE "{name}" TO {owner}')
        yield url, owner, service
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        cluster.drop_database(str(name))
        connection.execute(f"DROP ROLE IF EXISTS {service}_more")
        connection.execute(f"DROP ROLE {service}, {owner}")


@pytest.mark.parametrize("pooled", [False, True], ids=["role taken on", "role inherited"])
def test_an_installation_without_a_superuser(
    database_url: str,  # so that the role training_app is there
    server_url: str,
    logins: tuple[str, str, str],
    pooled: bool,
) -> None:
    url, owner, service = logins
    migrate(as_login(url, owner))
    seed(as_login(url, owner))
    with psycopg.connect(server_url, autocommit=True) as connection:
        if pooled:
            _grant_to_pooled(connection, service)
        else:
            connection.execute(f"GRANT training_app, {TAKEN_ON} TO {service}")
    role = "" if pooled else "training_app"
    with running_service(as_login(url, service), database_role=role) as running:
        alice = Athlete(running.address)
        logged = alice.log()
        assert logged.id
        sibling = Athlete(running.address, roles="service")
        everything = sibling.sessions.ExportAllSessions(session_pb2.ExportAllSessionsRequest())
        assert [s.id for part in everything for s in part.sessions] == [logged.id]
        alice.close()
        sibling.close()


TAKEN_ON = "training_reader, training_grantee, training_coach, training_eraser"


def _grant_to_pooled(connection: psycopg.Connection, login: str) -> None:
    """Lets a login have the rights of one role, and take on the others."""
    connection.execute(f"ALTER ROLE {login} INHERIT")
    connection.execute(f"GRANT training_app TO {login}")
    if connection.info.server_version >= 160000:
        connection.execute(f"GRANT {TAKEN_ON} TO {login} WITH INHERIT FALSE")
        return
    connection.execute(f"CREATE ROLE {login}_more NOINHERIT")
    connection.execute(f"GRANT {TAKEN_ON} TO {login}_more")
    connection.execute(f"GRANT {login}_more TO {login}")


def test_a_database_that_stumbles_while_rights_are_checked_is_asked_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    check = server.excess_privileges

    async def stumble(database: Database) -> str | None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise database_unavailable()
        return await check(database)

    monkeypatch.setattr(server, "excess_privileges", stumble)
    with running_service(database_url, health_interval_seconds=0.05) as running:
        alice = Athlete(running.address)
        assert alice.log().id
        alice.close()
    assert asked >= 2


def test_seeding_does_not_spoil_a_graph_that_an_administrator_changed(
    make_database: Callable[[], str],
) -> None:
    url = make_database()
    migrate(url)
    assert seed(url) == 249
    assert seed(url) == 0
    with psycopg.connect(url, autocommit=True) as connection:
        # As if this release brought an exercise that leads to one made easier meanwhile.
        [(id,)] = connection.execute("SELECT id FROM training.exercises WHERE slug = 'pull-up'")
        connection.execute(
            "DELETE FROM training.exercise_edges WHERE %s IN (easier_id, harder_id)", [id]
        )
        connection.execute("DELETE FROM training.exercises WHERE id = %s", [id])
        connection.execute(
            "UPDATE training.exercises SET difficulty = 1 WHERE slug = 'weighted-pull-up'"
        )
        with pytest.raises(TrainingError) as caught:
            seed(url)
        assert caught.value.reason is Reason.PROGRESSION_DIFFICULTY_DROP
        assert connection.execute("SELECT count(*) FROM training.exercises").fetchone() == (248,)


def test_a_login_that_always_sees_all_athletes_is_refused(
    server_url: str, logins: tuple[str, str, str], database_url: str
) -> None:
    """As one that inherits what it should only take on."""
    url, owner, service = logins
    migrate(as_login(url, owner))
    seed(as_login(url, owner))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {service} INHERIT")
        connection.execute(
            "GRANT training_app, training_reader, training_grantee, training_coach, "
            f"training_eraser TO {service}"
        )
    with (
        pytest.raises(SettingsError, match="sees all athletes"),
        running_service(as_login(url, service), database_role=""),
    ):
        pass


def test_the_doctor_finds_nothing_wrong_with_an_installation_by_the_book(
    database_url: str, server_url: str, logins: tuple[str, str, str]
) -> None:
    url, owner, service = logins
    settings = Settings()

    def failed() -> dict[str, str]:
        found = examine(settings, as_login(url, service), datetime.now(UTC))
        return {one.check: one.seen for one in found if one.verdict is Verdict.FAILED}

    assert set(failed()) == {"roles"}
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"GRANT {', '.join(settings.database_roles)} TO {service}")
    assert set(failed()) == {"schema"}
    migrate(as_login(url, owner))
    seed(as_login(url, owner))
    assert failed() == {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE training.sessions DISABLE ROW LEVEL SECURITY")
        connection.execute("ALTER TABLE training.workouts OWNER TO training_app")
    assert failed() == {
        "roles": "role training_app owns tables of the service",
        "row-level security": "off for sessions",
    }


@pytest.mark.usefixtures("pgvector")
def test_an_owner_who_may_not_create_the_extension_has_all_but_similar_exercises(
    database_url: str, server_url: str, logins: tuple[str, str, str]
) -> None:
    """pgvector is not trusted: an administrator creates it, before or after."""
    url, owner, service = logins
    migrate(as_login(url, owner))
    seed(as_login(url, owner))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"GRANT {', '.join(Settings().database_roles)} TO {service}")

    def similar() -> str:
        found = examine(Settings(), as_login(url, service), datetime.now(UTC))
        [one] = [one for one in found if one.check == "similar exercises"]
        return f"{one.verdict}: {one.seen}"

    request = exercise_pb2.ListSimilarExercisesRequest(exercise="pull-up")
    obstacle = f"{owner} may not create the extension vector"
    assert embed_in(as_login(url, owner)) == Embedded(obstacle)
    assert similar() == "ok: off: the extension vector is not in use"
    with running_service(as_login(url, service)) as running:
        alice = Athlete(running.address, roles="admin")
        with refused("SIMILARITY_UNAVAILABLE"):
            alice.exercises.ListSimilarExercises(request)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION vector")
        assert embed_in(as_login(url, owner)) == Embedded("", 249, 0)
        assert len(alice.exercises.ListSimilarExercises(request).similar_exercises) == 10
        alice.close()
    assert similar() == "ok: on: 249 vectors"


def test_the_doctor_tells_the_time_of_a_database(database_url: str) -> None:
    facts = diagnose(database_url, "training_app", ["training_app", "no_such_role"])
    assert facts.missing_roles == ["no_such_role"]
    assert facts.server.version >= 150_000
    assert abs(facts.clock_skew_seconds) <= facts.clock_error_seconds + 0.5
    assert facts.schema
    assert facts.schema.exercises >= 249
