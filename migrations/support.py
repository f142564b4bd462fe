"""What revisions share: how a table of athletes' data is protected."""

from alembic import op

APP_ROLE = "training_app"
GRANTEE_ROLE = "training_grantee"
"""What a transaction takes on that makes use of a grant: its policies cost nobody else anything."""
COACH_ROLE = "training_coach"
"""What a transaction takes on that reads of many athletes at once, by what each of them allowed."""
ERASER_ROLE = "training_eraser"
"""What a transaction takes on that erases a user."""
ATHLETE = "NULLIF(current_setting('app.external_user_id', true), '')::uuid"
GRANTEE = "NULLIF(current_setting('app.grantee_user_id', true), '')::uuid"
LED_GROUPS = f"""ARRAY(
    SELECT group_id FROM training.group_members
    WHERE member_user_id = {GRANTEE} AND role <> 'ATHLETE'
)"""
"""Groups that who asks coaches or assists. An array: no index serves a list that is looked up for
each row."""
ADMITTED = "NULLIF(current_setting('app.admitted_user_ids', true), '')::uuid[]"
"""Whose rows a transaction may see or write by what they allowed: `training.admit` says (0026)."""
ERASED = "NULLIF(current_setting('app.erased_user_id', true), '')::uuid"
GRANT_SCOPE = "current_setting('app.grant_scope', true)"
HOLDS = f"""
    {GRANT_SCOPE} = ANY (one.scopes)
    AND one.revoked_at IS NULL
    AND (one.expires_at IS NULL OR one.expires_at > now())
    AND (one.grantee_user_id = {GRANTEE} OR EXISTS (
        SELECT FROM training.group_members AS athlete
        JOIN training.group_members AS coach USING (group_id)
        WHERE athlete.group_id = one.group_id
        AND athlete.member_user_id = one.external_user_id
        AND athlete.role = 'ATHLETE'
        AND athlete.joined_at <= one.created_at
        AND coach.member_user_id = {GRANTEE}
        AND (coach.role = 'COACH' OR coach.role = 'ASSISTANT' AND {GRANT_SCOPE} LIKE 'READ%')
    ))
"""
"""The condition that a row of access_grants, called `one`, lets in who asks."""


def begin() -> None:
    """Begins a revision; each starts with this.

    On a distributed database, reference tables may then be altered together with distributed ones;
    elsewhere the settings mean nothing.
    """
    op.execute("SET LOCAL citus.enable_local_reference_table_foreign_keys = off")
    op.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")


def create_role(name: str) -> None:
    """Creates a role that rights are granted to, unless the cluster has it already."""
    op.execute(f"""
        DO $$
        BEGIN
            CREATE ROLE {name} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END $$
    """)
    # Lets the owner of the schema serve under this role too, as on a developer's machine; where
    # the role was made by somebody else, that is theirs to grant.
    op.execute(f"""
        DO $$
        BEGIN
            IF NOT pg_has_role('{name}', 'MEMBER') THEN
                GRANT {name} TO CURRENT_USER;
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END $$
    """)


def protect(table: str) -> None:
    """What `secure` was until revision 0026, with `guard`."""
    op.execute(f"ALTER TABLE training.{table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"""
        CREATE POLICY athlete ON training.{table}
        USING (external_user_id = NULLIF(current_setting('app.external_user_id', true), '')::uuid)
    """)


def grant(privileges: str, table: str, role: str = APP_ROLE) -> None:
    """Grants rights on a table to the service, or another role; what is not granted is refused."""
    op.execute(f"GRANT {privileges} ON training.{table} TO {role}")


HAS_ADMITTED = f"external_user_id = ANY ({ADMITTED})"
"""The condition that a row is of an athlete who admitted who asks."""


def secure(table: str, grantees: str = HAS_ADMITTED) -> None:
    """Lets a transaction see and write only the rows of the athlete it names, and one that makes
    use of a grant only those that also meet a condition: that the athlete admitted it.

    Two permissive policies of two roles, and not a restrictive one on top of another: Citus makes
    restrictive policies permissive on its shards.
    """
    op.execute(f"ALTER TABLE training.{table} ENABLE ROW LEVEL SECURITY")
    own = f"external_user_id = {ATHLETE}"
    op.execute(f"CREATE POLICY athlete ON training.{table} TO {APP_ROLE} USING ({own})")
    op.execute(f"""
        CREATE POLICY grantee ON training.{table} TO {GRANTEE_ROLE}
        USING ({own} AND ({grantees}))
    """)


def admit_coaches(table: str) -> None:
    """Lets a transaction that reads of many athletes see the rows of those who admitted it."""
    op.execute(f"""
        CREATE POLICY granted ON training.{table} FOR SELECT TO {COACH_ROLE}
        USING ({HAS_ADMITTED})
    """)
    op.execute(f"GRANT SELECT ON training.{table} TO {COACH_ROLE}")


def guard(table: str) -> None:
    """What `secure` was until revision 0026, with `protect`: looks at grants in each statement."""
    op.execute(f"""
        CREATE POLICY grantee ON training.{table} AS RESTRICTIVE TO {GRANTEE_ROLE}
        USING ((SELECT EXISTS (
            SELECT FROM training.access_grants AS one
            WHERE one.external_user_id = {ATHLETE} AND {HOLDS}
        )))
    """)


def open_to_coaches(table: str) -> None:
    """What `admit_coaches` was until revision 0026: lists athletes in each statement."""
    granted = f"SELECT external_user_id FROM training.access_grants AS one WHERE {HOLDS}"
    shared = """
        SELECT member_user_id FROM training.group_members
        WHERE group_id = NULLIF(current_setting('app.group_id', true), '')::uuid
        AND role = 'ATHLETE'
        AND current_setting('app.sharing', true) = ANY (sharing)
    """
    for policy, athletes in (("granted", granted), ("shared", shared)):
        op.execute(f"""
            CREATE POLICY {policy} ON training.{table} FOR SELECT TO {COACH_ROLE}
            USING (external_user_id IN ({athletes}))
        """)
    op.execute(f"GRANT SELECT ON training.{table} TO {COACH_ROLE}")


def erasable(table: str, *columns: str) -> None:
    """Lets a transaction that erases a user remove the rows that name them in one of the columns,
    or take the name out; `external_user_id` among the columns is whose row it is.

    It can't touch other rows. It sees them where a name may be taken out, for PostgreSQL asks that
    a row which was changed can still be seen.
    """
    others = [column for column in columns if column != "external_user_id"]
    named = f"{ERASED} IN ({', '.join(columns)})"
    to = f"ON training.{table}"
    op.execute(f"CREATE POLICY erased {to} FOR DELETE TO {ERASER_ROLE} USING ({named})")
    seen = "true" if others else named
    op.execute(f"CREATE POLICY seen {to} FOR SELECT TO {ERASER_ROLE} USING ({seen})")
    grant("SELECT, DELETE", table, ERASER_ROLE)
    if others:
        op.execute(f"""
            CREATE POLICY forgotten {to} FOR UPDATE TO {ERASER_ROLE}
            USING ({named}) WITH CHECK (true)
        """)
        changed = [*others, *(["revoked_at"] if table == "access_grants" else [])]
        grant(f"UPDATE ({', '.join(changed)})", table, ERASER_ROLE)
