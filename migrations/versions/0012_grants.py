"""Grants of access, their use on record, and policies that look at them.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import GRANTEE, begin, grant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = (
    "write_requests",
    "workouts",
    "workout_revisions",
    "workout_exercises",
    "sessions",
    "session_exercises",
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
)
"""All that athletes own, as of this revision."""

ATHLETE = "NULLIF(current_setting('app.external_user_id', true), '')::uuid"
IS_OWN = f"external_user_id = {ATHLETE}"
# In a subquery, so that it is looked at once in a statement and not for each row.
IS_GRANTED = f"""(
    SELECT {GRANTEE} IS NULL OR EXISTS (
        SELECT FROM training.access_grants AS g
        WHERE g.external_user_id = {ATHLETE}
        AND g.grantee_user_id = {GRANTEE}
        AND current_setting('app.grant_scope', true) = ANY (g.scopes)
        AND g.revoked_at IS NULL
        AND (g.expires_at IS NULL OR g.expires_at > now())
    )
)"""  # noqa: S608


def upgrade() -> None:
    begin()
    op.create_table(
        "access_grants",
        sa.Column("external_user_id", sa.Uuid(), nullable=False, comment="The athlete who grants."),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grantee_user_id", sa.Uuid(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="Names of GrantScope."),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="access_grants_pkey"),
        sa.CheckConstraint("cardinality(scopes) > 0", name="access_grants_scopes"),
        schema="training",
        comment="What athletes let others do; the policies of all their tables look here.",
    )
    op.create_index(
        "access_grants_grantee_idx",
        "access_grants",
        ["external_user_id", "grantee_user_id"],
        schema="training",
    )
    op.create_table(
        "access_log",
        sa.Column(
            "external_user_id", sa.Uuid(), nullable=False, comment="The athlete whose data it was."
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("grantee_user_id", sa.Uuid(), nullable=False),
        sa.Column("rpc", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False, comment="Finds the call in the logs."),
        sa.Column("accessed_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="access_log_pkey"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "grant_id"],
            ["training.access_grants.external_user_id", "training.access_grants.id"],
            name="access_log_grant_fkey",
        ),
        schema="training",
        comment="Uses of grants; only added to.",
    )
    grant("SELECT, INSERT, UPDATE (revoked_at)", "access_grants")
    grant("SELECT, INSERT", "access_log")
    for table in ("access_grants", "access_log"):
        op.execute(f"ALTER TABLE training.{table} ENABLE ROW LEVEL SECURITY")
        # A grantee sees what concerns them. These are what the other policies look at, so they
        # can't look there themselves.
        op.execute(f"""
            CREATE POLICY athlete ON training.{table}
            USING ({IS_OWN} AND ({GRANTEE} IS NULL OR grantee_user_id = {GRANTEE}))
        """)
    for table in TABLES:
        op.execute(f"""
            ALTER POLICY athlete ON training.{table} USING ({IS_OWN} AND {IS_GRANTED})
        """)


def downgrade() -> None:
    begin()
    for table in TABLES:
        op.execute(f"ALTER POLICY athlete ON training.{table} USING ({IS_OWN})")
    op.drop_table("access_log", schema="training")
    op.drop_table("access_grants", schema="training")
