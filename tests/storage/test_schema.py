"""The schema itself: what holds whatever the code above it does."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from calisthenics.training.v1 import goal_pb2, phase_pb2, readiness_pb2
from psycopg import errors
from sqlalchemy import Table, create_engine, make_url
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.schema import AddConstraint

from tests.citus import Cluster
from tests.support import Athlete, a_goal, a_phase, a_wellness
from training_service.storage.erasure import STEPS, Step, user_columns
from training_service.storage.migrations import head_revision, migrate
from training_service.storage.tables import OPTIONAL_TABLES, SCHEMA, metadata

TABLES = list(metadata.tables.values())
USER_OWNED = [t for t in TABLES if "external_user_id" in t.c]

GRANTS = {"training.access_grants", "training.access_log"}

by_name = pytest.mark.parametrize("table", USER_OWNED, ids=lambda t: t.name)

SNAPSHOT = """
    SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod),
           a.attnotnull, c.relrowsecurity, c.relacl::text, a.attacl::text
    FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'training'::regnamespace ORDER BY 1, 3
"""


@pytest.fixture
def as_service(database_url: str, alice: Athlete) -> Iterator[psycopg.Connection]:
    """A connection with the rights of the service, in a transaction for alice."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET ROLE training_app")
        connection.execute(f"SET LOCAL app.external_user_id = '{alice.id}'")
        yield connection
        connection.rollback()


def test_migrations_go_up_down_and_up_to_the_same_schema(make_database: Callable[[], str]) -> None:
    url = make_database()
    snapshots = []
    for revision in ("head", "base", "head"):
        migrate(url, revision)
        with psycopg.connect(url) as connection:
            snapshots.append(connection.execute(SNAPSHOT).fetchall())
    up, down, again = snapshots
    assert {row[0] for row in down} <= {"alembic_version", "alembic_version_pkc"}
    assert up == again
    migrate(url, head_revision())  # nothing to do is no mistake


def test_the_migrated_schema_is_what_the_models_say(database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    options = {
        "include_schemas": True,
        "version_table_schema": SCHEMA,
        "include_name": lambda name, kind, _: (
            name not in OPTIONAL_TABLES if kind == "table" else kind != "schema" or name == SCHEMA
        ),
        "compare_type": True,
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


OTHER_LEADERS = {
    # The order of changes is one of all athletes.
    "sessions_changes_idx": "transaction_id",
    "session_retractions_changes_idx": "transaction_id",
    # Who reads of many athletes begins with whom they granted something to.
    "access_grants_to_user_idx": "grantee_user_id",
    "access_grants_to_group_idx": "group_id",
}


@by_name
def test_a_table_of_athletes_data_leads_with_the_athlete(table: Table) -> None:
    """Row-level security compares it, and the data can be spread over machines by it."""
    assert next(iter(table.primary_key.columns)).name == "external_user_id"
    for index in table.indexes:
        leader = OTHER_LEADERS.get(str(index.name), "external_user_id")
        assert next(iter(index.columns)).name == leader, index.name
    for constraint in table.constraints:
        if isinstance(constraint, ExcludeConstraint):
            assert constraint.operators["external_user_id"] == "="
            assert next(iter(constraint.columns)).name == "external_user_id"
    for constraint in table.foreign_key_constraints:
        target = constraint.referred_table
        if target in USER_OWNED:
            assert constraint.column_keys[0] == "external_user_id", constraint.name
        assert constraint.ondelete in (None, "NO ACTION", "CASCADE")
        assert constraint.onupdate is None
        assert not constraint.deferrable


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_constraints_have_names_that_survive_being_lengthened(table: Table) -> None:
    named = [c.name for c in table.constraints] + [i.name for i in table.indexes]
    assert all(name and len(str(name)) <= 45 for name in named)


@by_name
def test_row_level_security_protects_every_table_of_athletes_data(
    table: Table, owner: psycopg.Connection
) -> None:
    query = """
        SELECT relrowsecurity, array_agg(pg_get_expr(polqual, polrelid)), array_agg(polcmd::text)
        FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid
        WHERE pg_class.oid = %s::regclass AND polroles::regrole[]::text = '{training_app}'
        GROUP BY 1
    """
    [(enabled, conditions, commands)] = owner.execute(query, [f"{SCHEMA}.{table.name}"])
    assert enabled
    assert commands == ["*"]
    assert len(conditions) == 1
    assert "external_user_id =" in conditions[0]
    assert "app.external_user_id" in conditions[0]


def test_only_the_reader_sees_all_athletes_and_only_their_sessions(
    owner: psycopg.Connection,
) -> None:
    query = """
        SELECT polrelid::regclass::text, polcmd::text, polroles::regrole[]::text
        FROM pg_policy WHERE polroles::regrole[]::text NOT IN
        ('{training_app}', '{training_grantee}', '{training_coach}', '{training_eraser}') ORDER BY 1
    """
    assert owner.execute(query).fetchall() == [
        ("training.archive_objects", "r", "{training_reader}"),
        ("training.session_retractions", "r", "{training_reader}"),
        ("training.sessions", "r", "{training_reader}"),
    ]


def test_who_reads_of_many_athletes_sees_of_each_what_they_allowed(
    owner: psycopg.Connection,
) -> None:
    """And writes nothing but that they looked."""
    query = """
        SELECT polrelid::regclass::text, polname::text, polcmd::text
        FROM pg_policy WHERE polroles::regrole[]::text = '{training_coach}'
        AND pg_get_expr(coalesce(polwithcheck, polqual), polrelid)
            ~ 'app.(grantee_user_id|admitted_user_ids)' ORDER BY 1, 2
    """
    policies = owner.execute(query).fetchall()
    tables = sorted({table for table, _, _ in policies} - GRANTS)
    assert policies == sorted(
        [
            ("training.access_grants", "granted", "r"),
            ("training.access_log", "granted", "r"),
            ("training.access_log", "noted", "a"),
            *((table, "granted", "r") for table in tables),
        ]
    )
    readable = """
        SELECT format('training.%s', table_name), privilege_type
        FROM information_schema.role_table_grants WHERE grantee = 'training_coach'
        AND table_name NOT LIKE 'group%'
    """
    assert sorted(owner.execute(readable).fetchall()) == sorted(
        [
            *((table, "SELECT") for table in (*tables, *GRANTS)),
            ("training.access_log", "INSERT"),
        ]
    )


@by_name
def test_who_makes_use_of_a_grant_sees_and_writes_only_what_was_granted(
    table: Table, owner: psycopg.Connection
) -> None:
    query = """
        SELECT polcmd::text, pg_get_expr(polqual, polrelid) FROM pg_policy
        WHERE polrelid = %s::regclass AND polroles::regrole[]::text = '{training_grantee}'
    """
    [(command, condition)] = owner.execute(query, [f"{SCHEMA}.{table.name}"])
    assert command == "*"
    assert "app.external_user_id" in condition
    assert " OR " not in condition.partition(" AND ")[0]
    is_about_grants = table.name in ("access_grants", "access_log")
    assert ("app.grantee_user_id" if is_about_grants else "app.admitted_user_ids") in condition


def test_policies_are_such_as_a_cluster_keeps(owner: psycopg.Connection) -> None:
    """Each statement would do so again, and a distributed database refuses it. Nor does that keep
    restrictive policies: on its shards they let rows through."""
    query = """
        SELECT polrelid::regclass, polname FROM pg_policy WHERE NOT polpermissive
        OR concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) ~ 'SELECT'
    """
    assert owner.execute(query).fetchall() == []


def test_who_makes_use_of_a_grant_has_the_rights_of_the_service(owner: psycopg.Connection) -> None:
    query = """
        SELECT table_name, column_name, privilege_type FROM information_schema.role_column_grants
        WHERE table_schema = 'training' AND grantee = %s
        UNION ALL
        SELECT table_name, '', privilege_type FROM information_schema.role_table_grants
        WHERE table_schema = 'training' AND grantee = %s
        ORDER BY 1, 2, 3
    """
    rights = [
        owner.execute(query, [role] * 2).fetchall() for role in ("training_app", "training_grantee")
    ]
    assert rights[0]
    assert rights[0] == rights[1]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.table)
def test_who_erases_may_do_all_that_erasing_does(step: Step, database_url: str) -> None:
    """A new table of users needs `erasable()` in its revision."""
    with psycopg.connect(database_url, cursor_factory=psycopg.RawCursor) as connection:
        connection.execute("SET LOCAL ROLE training_eraser")
        values = step.statement.values({"user_id": uuid4()})
        assert connection.execute(step.statement.sql, values).fetchall() == [(0,)]
        connection.rollback()


@pytest.mark.parametrize("table", [t for t in TABLES if user_columns(t)], ids=lambda t: t.name)
def test_who_erases_sees_rows_by_every_column_that_names_a_user(
    table: Table, owner: psycopg.Connection
) -> None:
    """Without the policy the rows would be passed over in silence."""
    query = """
        SELECT relrowsecurity, pg_get_expr(polqual, polrelid) FROM pg_class
        LEFT JOIN pg_policy ON polrelid = pg_class.oid AND polname = 'erased'
        AND polcmd = 'd' AND polroles::regrole[]::text = '{training_eraser}'
        WHERE pg_class.oid = %s::regclass
    """
    [(is_protected, condition)] = owner.execute(query, [f"{SCHEMA}.{table.name}"])
    if is_protected:
        assert "app.erased_user_id" in condition
        assert [column.name for column in user_columns(table) if column.name not in condition] == []


def test_no_triggers_or_rules(owner: psycopg.Connection) -> None:
    """A distributed table has none; immutability is a matter of rights."""
    triggers = """
        SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = 'training'::regnamespace AND NOT tgisinternal
    """
    assert owner.execute(triggers).fetchall() == []


def test_the_service_owns_nothing_and_bypasses_nothing(
    owner: psycopg.Connection, cluster: Cluster
) -> None:
    query = "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin FROM pg_roles"
    [row] = owner.execute(f"{query} WHERE rolname = 'training_app'")
    # The nodes of a cluster connect to one another as whom a transaction acts for.
    assert row == (False, False, False, False, cluster.is_there)
    owned = "SELECT count(*) FROM pg_class WHERE relowner = 'training_app'::regrole"
    assert owner.execute(owned).fetchone() == (0,)


@pytest.mark.parametrize(
    "table",
    [
        "sessions",
        "session_exercises",
        "session_retractions",
        "workout_revisions",
        "wellness_entries",
    ],
)
@pytest.mark.parametrize(
    "command", ["UPDATE training.{} SET created_at = now()", "DELETE FROM training.{}"]
)
def test_the_database_itself_refuses_to_change_what_is_append_only(
    as_service: psycopg.Connection, alice: Athlete, table: str, command: str
) -> None:
    if table == "session_exercises":
        command = command.replace("created_at = now()", "set_count = 0")
    alice.log()
    with pytest.raises(errors.InsufficientPrivilege):
        as_service.execute(command.format(table))


@by_name
def test_without_an_athlete_there_is_no_row(
    table: Table, database_url: str, alice: Athlete
) -> None:
    alice.create_workout()
    alice.log(request_id=alice.id)
    alice.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=a_wellness()))
    alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=a_phase()))
    alice.goals.CreateGoal(goal_pb2.CreateGoalRequest(goal=a_goal()))
    with psycopg.connect(database_url) as connection:
        connection.execute("SET ROLE training_app")
        for athlete in (None, "", bytes(16).hex()):
            if athlete is not None:
                connection.execute(f"SET LOCAL app.external_user_id = '{athlete}'")
            count = connection.execute(f"SELECT count(*) FROM training.{table.name}").fetchone()
            assert count == (0,)


def test_rows_of_another_athlete_can_not_be_written(
    as_service: psycopg.Connection, bob: Athlete
) -> None:
    insert = """
        INSERT INTO training.workouts
            (external_user_id, id, display_name, revision, version, created_at, updated_at)
        VALUES (%s, gen_random_uuid(), 'x', 1, 1, now(), now())
    """
    with pytest.raises(errors.InsufficientPrivilege):
        as_service.execute(insert, [bob.id])


def test_an_athletes_rows_only_refer_to_their_own(
    as_service: psycopg.Connection, alice: Athlete, bob: Athlete
) -> None:
    """A foreign key carries the athlete, so that even a guessed id refers to nothing."""
    workout = bob.create_workout()
    insert = """
        INSERT INTO training.sessions
            (external_user_id, id, started_at, time_zone, local_date, completion, group_external_id,
             workout_id, workout_revision, request_digest, created_at, record)
        VALUES (%s, gen_random_uuid(), now(), 'UTC', now(), 'COMPLETED', '', %s, 1, '', now(), '')
    """
    with pytest.raises(errors.ForeignKeyViolation):
        as_service.execute(insert, [alice.id, workout.id])


@pytest.mark.parametrize(
    "criterion", [(3, 8, None), (11, 8, 2), (3, 0, 2), (3, 8, 0), (None, None, 2)], ids=repr
)
def test_a_criterion_is_whole_and_within_its_range(
    owner: psycopg.Connection, criterion: tuple[int | None, ...]
) -> None:
    columns = "criterion_set_count = %s, criterion_amount = %s, criterion_session_count = %s"
    with pytest.raises(errors.CheckViolation):
        owner.execute(f"UPDATE training.exercises SET {columns}", criterion)


@pytest.mark.parametrize("change", ["phase_id = NULL", "created_at = now()"])
def test_the_database_itself_refuses_to_change_whose_days_a_schedule_has(
    as_service: psycopg.Connection, change: str
) -> None:
    as_service.execute("UPDATE training.schedules SET version = 2, updated_at = now()")
    with pytest.raises(errors.InsufficientPrivilege):
        as_service.execute(f"UPDATE training.schedules SET {change}")


PHASES = """
    INSERT INTO training.training_phases
        (id, parent_id, start_date, end_date, external_user_id, kind, display_name, focus,
         volume_factors, intensity_factors, deload_weeks, day_emphases, description, version,
         created_at, updated_at)
    VALUES {}
"""
ONE, TWO, THREE = (f"'{n:032x}'" for n in (1, 2, 3))
FIRST_DAYS = "'2026-03-02', '2026-03-30'"


def insert_phases(connection: psycopg.Connection, athlete: Athlete, *rows: str) -> None:
    rest = "'MESOCYCLE', '', '', '{}', '{}', '{}', '{}', '', 1, now(), now()"
    values = ", ".join(f"({row}, '{athlete.id}', {rest})" for row in rows)
    connection.execute(PHASES.format(values))


@pytest.mark.parametrize("parent", ["NULL", ONE])
def test_phases_under_the_same_parent_or_none_never_overlap(
    owner: psycopg.Connection, alice: Athlete, bob: Athlete, parent: str
) -> None:
    for athlete in (alice, bob):
        insert_phases(owner, athlete, f"{ONE}, NULL, '2020-01-01', '2020-02-01'")
        insert_phases(owner, athlete, f"{TWO}, {parent}, {FIRST_DAYS}")
    with pytest.raises(errors.ExclusionViolation):
        insert_phases(owner, alice, f"{THREE}, {parent}, '2026-03-29', '2026-03-31'")
    insert_phases(owner, alice, f"{THREE}, {parent}, '2026-03-30', '2026-03-31'")


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (f"{ONE}, NULL, '2026-03-02', '2026-03-02'", errors.CheckViolation),
        (f"{ONE}, {ONE}, {FIRST_DAYS}", errors.CheckViolation),
        (f"{ONE}, {TWO}, {FIRST_DAYS}", errors.ForeignKeyViolation),
    ],
)
def test_a_phase_that_can_not_be_is_refused(
    owner: psycopg.Connection, alice: Athlete, bob: Athlete, row: str, error: type[Exception]
) -> None:
    insert_phases(owner, bob, f"{TWO}, NULL, {FIRST_DAYS}")
    with pytest.raises(error):
        insert_phases(owner, alice, row)


def test_the_constraint_of_phases_is_the_one_that_the_models_say(owner: psycopg.Connection) -> None:
    """Alembic does not compare such constraints."""
    query = """
        SELECT pg_get_constraintdef(oid), condeferrable FROM pg_constraint
        WHERE conrelid = 'training.training_phases'::regclass AND contype = 'x'
    """
    definition = (
        "EXCLUDE USING gist (external_user_id WITH =, "
        "COALESCE(parent_id, '00000000-0000-0000-0000-000000000000'::uuid) WITH =, "
        "daterange(start_date, end_date) WITH &&)"
    )
    assert owner.execute(query).fetchall() == [(definition, False)]
    [constraint] = [
        c
        for c in metadata.tables["training.training_phases"].constraints
        if isinstance(c, ExcludeConstraint)
    ]
    engine = create_engine("postgresql+psycopg://")
    said = str(AddConstraint(constraint).compile(dialect=engine.dialect))
    assert said.lower().endswith(definition.lower())


@pytest.mark.parametrize(
    "change",
    ["kind = 'HOLD'", "target_value = 1", "base_value = 0", "created_date = '2020-01-01'"],
)
def test_the_database_itself_refuses_to_change_what_a_goal_aims_at(
    as_service: psycopg.Connection, alice: Athlete, change: str
) -> None:
    alice.goals.CreateGoal(goal_pb2.CreateGoalRequest(goal=a_goal()))
    with pytest.raises(errors.InsufficientPrivilege):
        as_service.execute(f"UPDATE training.goals SET {change}")


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'DREAM'",
        "exercise_id = NULL",
        "target_value = NULL",
        "target_value = 0",
        "min_reps = 3",
        "path = ARRAY[exercise_id]",
    ],
)
def test_a_goal_is_whole_and_within_its_range(
    owner: psycopg.Connection, alice: Athlete, change: str
) -> None:
    alice.goals.CreateGoal(goal_pb2.CreateGoalRequest(goal=a_goal()))
    with pytest.raises(errors.CheckViolation):
        owner.execute(f"UPDATE training.goals SET {change} WHERE external_user_id = %s", [alice.id])
