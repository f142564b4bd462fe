"""Whom a transaction may see by grants is made out once in it, and no longer in each statement.

Policies without subqueries cost statements less, and are all that a distributed database takes; nor
does it keep restrictive ones. An instance of the release before that serves meanwhile is shown
nothing by grants.

Revision: 0026
"""

from alembic import op

from migrations.support import (
    ATHLETE,
    COACH_ROLE,
    GRANTEE,
    GRANTEE_ROLE,
    HOLDS,
    LED_GROUPS,
    admit_coaches,
    begin,
    guard,
    open_to_coaches,
    protect,
    secure,
)

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

GUARDED = (
    "write_requests",
    "workouts",
    "workout_revisions",
    "workout_exercises",
    "archive_objects",
    "sessions",
    "session_exercises",
    "session_chains",
    "session_links",
    "session_retractions",
    "session_metrics",
    "exercise_metrics",
    "personal_records",
    "load_histories",
    "load_checkpoints",
    "wellness_entries",
    "training_phases",
    "phase_calendars",
    "goals",
    "progression_rules",
    "schedules",
    "schedule_changes",
    "assignments",
)
"""What grantees are shown, as of this revision."""
OF_MANY = (
    "sessions",
    "session_metrics",
    "exercise_metrics",
    "personal_records",
    "load_checkpoints",
    "wellness_entries",
    "training_phases",
    "schedules",
    "schedule_changes",
)
"""What is read of many athletes."""

LED = "NULLIF(current_setting('app.led_group_ids', true), '')::uuid[]"
HELD = "NULLIF(current_setting('app.held_grant_ids', true), '')::uuid[]"
HOLDS_FOR = HOLDS.replace("current_setting('app.grant_scope', true)", "scope")
"""As policies said it, of the scope that the function is given."""


CONCERNED = f"grantee_user_id = {GRANTEE} OR group_id = ANY ({{led}})"
"""The condition that a grant is to who asks, or to a group that they lead."""
ABOUT_GRANTS = {"access_grants": CONCERNED, "access_log": f"grantee_user_id = {GRANTEE}"}
"""What a grantee is shown of grants. Whom they admit is made out of these."""


def drop(*policies: str, table: str) -> None:
    """Drops policies of a table."""
    for policy in policies:
        op.execute(f"DROP POLICY {policy} ON training.{table}")


def noted(condition: str) -> None:
    """Lets who reads of many athletes note that they looked, by a grant that holds."""
    op.execute(f"""
        CREATE POLICY noted ON training.access_log FOR INSERT TO {COACH_ROLE}
        WITH CHECK (grantee_user_id = {GRANTEE} AND {condition})
    """)


def upgrade() -> None:
    begin()
    # What it finds goes into settings of the transaction, which policies then look at. They are
    # set as statements set them: on a distributed database those alone reach every node.
    op.execute(f"""
        CREATE FUNCTION training.admit(scope text, sharing_group uuid, shared text) RETURNS void
        LANGUAGE plpgsql AS $$
        DECLARE
            users uuid[];
            grants uuid[];
        BEGIN
            EXECUTE format('SET LOCAL app.led_group_ids = %L', {LED_GROUPS});
            IF scope IS NULL THEN
                users := ARRAY(
                    SELECT member_user_id FROM training.group_members
                    WHERE group_id = sharing_group AND role = 'ATHLETE' AND shared = ANY (sharing)
                );
            ELSIF {ATHLETE} IS NULL THEN
                SELECT array_agg(one.id), array_agg(one.external_user_id) INTO grants, users
                FROM training.access_grants AS one WHERE {HOLDS_FOR};
            ELSE
                SELECT array_agg(one.id), array_agg(one.external_user_id) INTO grants, users
                FROM training.access_grants AS one
                WHERE one.external_user_id = {ATHLETE} AND {HOLDS_FOR};
            END IF;
            EXECUTE format('SET LOCAL app.held_grant_ids = %L', coalesce(grants, '{{}}'));
            EXECUTE format('SET LOCAL app.admitted_user_ids = %L', coalesce(users, '{{}}'));
        END $$
    """)
    for table, condition in ABOUT_GRANTS.items():
        drop("athlete", "grantee", table=table)
        secure(table, condition.format(led=LED))
    drop("granted", table="access_grants")
    op.execute(f"""
        CREATE POLICY granted ON training.access_grants FOR SELECT TO {COACH_ROLE}
        USING ({CONCERNED.format(led=LED)})
    """)
    drop("noted", table="access_log")
    noted(f"grant_id = ANY ({HELD})")
    for table in GUARDED:
        drop("athlete", "grantee", table=table)
        secure(table)
    for table in OF_MANY:
        drop("granted", "shared", table=table)
        admit_coaches(table)


def downgrade() -> None:
    begin()
    for table in OF_MANY:
        drop("granted", table=table)
        open_to_coaches(table)
    for table in GUARDED:
        drop("athlete", "grantee", table=table)
        protect(table)
        guard(table)
    drop("noted", table="access_log")
    noted(f"""EXISTS (
        SELECT FROM training.access_grants AS one
        WHERE one.external_user_id = access_log.external_user_id AND one.id = grant_id AND {HOLDS}
    )""")
    drop("granted", table="access_grants")
    op.execute(f"""
        CREATE POLICY granted ON training.access_grants FOR SELECT TO {COACH_ROLE}
        USING ({CONCERNED.format(led=LED_GROUPS)})
    """)
    for table, condition in ABOUT_GRANTS.items():
        drop("athlete", "grantee", table=table)
        protect(table)
        op.execute(f"""
            CREATE POLICY grantee ON training.{table} AS RESTRICTIVE TO {GRANTEE_ROLE}
            USING ({condition.format(led=LED_GROUPS)})
        """)
    op.execute("DROP FUNCTION training.admit")
