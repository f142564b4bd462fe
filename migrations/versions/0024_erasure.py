"""Tombstones of erased users, a role that erases, and what makes it wait for writes under way.

Revision: 0024
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import (
    APP_ROLE,
    COACH_ROLE,
    ERASER_ROLE,
    GRANTEE_ROLE,
    begin,
    create_role,
    erasable,
    grant,
)

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

GATES = 256
PROTECTED = {
    "write_requests": ("external_user_id", "named_user_id"),
    "workouts": ("external_user_id",),
    "workout_revisions": ("external_user_id", "author_user_id"),
    "workout_exercises": ("external_user_id",),
    "sessions": ("external_user_id", "author_user_id"),
    "session_exercises": ("external_user_id",),
    "session_chains": ("external_user_id",),
    "session_links": ("external_user_id",),
    "archive_objects": ("external_user_id",),
    "session_retractions": ("external_user_id", "author_user_id"),
    "session_metrics": ("external_user_id",),
    "exercise_metrics": ("external_user_id",),
    "personal_records": ("external_user_id",),
    "load_histories": ("external_user_id",),
    "load_checkpoints": ("external_user_id",),
    "progression_rules": ("external_user_id", "author_user_id"),
    "wellness_entries": ("external_user_id", "author_user_id"),
    "training_phases": ("external_user_id", "author_user_id"),
    "phase_calendars": ("external_user_id",),
    "schedules": ("external_user_id", "author_user_id"),
    "schedule_changes": ("external_user_id", "author_user_id"),
    "access_grants": ("external_user_id", "grantee_user_id"),
    "access_log": ("external_user_id", "grantee_user_id"),
    "assignments": ("external_user_id", "source_user_id"),
    "goals": ("external_user_id", "author_user_id"),
}
"""Tables with row-level security, and their columns that name a user."""
SHARED = {
    "groups": "SELECT, DELETE, UPDATE (version)",
    "group_members": "SELECT, DELETE",
    "group_invitations": "SELECT, DELETE, UPDATE (inviter_user_id)",
    "group_weeks": "SELECT, UPDATE (record)",
    "group_week_contributors": "SELECT, DELETE",
}
"""Rights on tables that many share. Of groups, to lock them needs a column to be changeable."""


def upgrade() -> None:
    begin()
    op.create_table(
        "tombstones",
        sa.Column("pseudonym", sa.LargeBinary(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), comment="Null until all is done."),
        sa.Column("archive_objects", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("receipt", sa.Text(), comment="A signed JWS: what was removed, by table."),
        sa.CheckConstraint(
            "(erased_at IS NULL) = (receipt IS NULL)", name="tombstones_receipt_whole"
        ),
        sa.PrimaryKeyConstraint("pseudonym", name="tombstones_pkey"),
        schema="training",
        comment="Erased users, by what their ids become under the installation's key. They are "
        "refused from the moment the row is there.",
    )
    op.create_table(
        "erasure_gates",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("passes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="erasure_gates_pkey"),
        schema="training",
        comment="Fixed rows. A write shares that of the first byte of its user's pseudonym until "
        "its end; an erasure changes it, and so waits for writes under way.",
    )
    op.execute(
        f"INSERT INTO training.erasure_gates SELECT id, 0 FROM generate_series(0, {GATES - 1}) id"
    )
    # Each query of it sees what was committed before that query, so also while it waited.
    op.execute("""
        CREATE FUNCTION training.refuse_erased(who bytea, is_write boolean) RETURNS void
        LANGUAGE plpgsql AS $$
        BEGIN
            IF is_write THEN
                PERFORM id FROM training.erasure_gates WHERE id = get_byte(who, 0) FOR SHARE;
            END IF;
            IF EXISTS (SELECT FROM training.tombstones WHERE pseudonym = who) THEN
                RAISE EXCEPTION 'the user was erased' USING ERRCODE = 'TS230';
            END IF;
        END $$
    """)
    for role in (APP_ROLE, GRANTEE_ROLE, COACH_ROLE):
        grant("SELECT (pseudonym)", "tombstones", role)
        grant("SELECT (id), UPDATE (passes)", "erasure_gates", role)
    create_role(ERASER_ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA training TO {ERASER_ROLE}")
    grant("SELECT, INSERT, UPDATE", "tombstones", ERASER_ROLE)
    grant("SELECT, UPDATE", "erasure_gates", ERASER_ROLE)
    for table, columns in PROTECTED.items():
        erasable(table, *columns)
    for table, rights in SHARED.items():
        grant(rights, table, ERASER_ROLE)


def downgrade() -> None:
    begin()
    for table in PROTECTED:
        for policy in ("erased", "seen", "forgotten"):
            op.execute(f"DROP POLICY IF EXISTS {policy} ON training.{table}")
    for table in (*PROTECTED, *SHARED):
        op.execute(f"REVOKE ALL ON training.{table} FROM {ERASER_ROLE}")
    op.execute(f"REVOKE USAGE ON SCHEMA training FROM {ERASER_ROLE}")
    op.execute("DROP FUNCTION training.refuse_erased")
    op.drop_table("erasure_gates", schema="training")
    op.drop_table("tombstones", schema="training")
