"""Schedules, and what athletes changed of their planned sessions.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import begin, grant, protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("schedules", "schedule_changes")


def upgrade() -> None:
    begin()
    op.create_table(
        "schedules",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "phase_id", sa.Uuid(), nullable=True, comment="Whose days it has; else it has its own."
        ),
        sa.Column("start_date", sa.Date(), nullable=True),
        sa.Column("end_date", sa.Date(), nullable=True, comment="The day after the last."),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column(
            "workout_ids",
            sa.ARRAY(sa.Uuid()),
            nullable=False,
            comment="Of its slots; null is rest.",
        ),
        sa.Column(
            "weekdays",
            sa.ARRAY(sa.SmallInteger()),
            nullable=False,
            comment="1 is Monday; none: rotation.",
        ),
        sa.Column("missed_policy", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="schedules_pkey"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "phase_id"],
            ["training.training_phases.external_user_id", "training.training_phases.id"],
            name="schedules_phase_fkey",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "(phase_id IS NULL) = (start_date IS NOT NULL)"
            " AND (start_date IS NULL) = (end_date IS NULL)",
            name="schedules_dates_whole",
        ),
        sa.CheckConstraint("start_date < end_date", name="schedules_dates"),
        sa.CheckConstraint(
            "missed_policy IN ('LET_GO', 'CARRY_OVER')", name="schedules_missed_policy"
        ),
        schema="training",
        comment="Which workout is meant to be done on which day.",
    )
    op.create_index(
        "schedules_phase_idx", "schedules", ["external_user_id", "phase_id"], schema="training"
    )
    op.create_table(
        "schedule_changes",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="Of the planned session."),
        sa.Column("new_date", sa.Date(), nullable=True, comment="Null: called off."),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "external_user_id", "schedule_id", "number", name="schedule_changes_pkey"
        ),
        sa.ForeignKeyConstraint(
            ["external_user_id", "schedule_id"],
            ["training.schedules.external_user_id", "training.schedules.id"],
            name="schedule_changes_schedule_fkey",
            ondelete="CASCADE",
        ),
        schema="training",
        comment="Planned sessions that an athlete moved or called off.",
    )
    grant("SELECT, INSERT, DELETE", "schedules")
    grant("SELECT, INSERT, DELETE, UPDATE (new_date, created_at)", "schedule_changes")
    for table in TABLES:
        protect(table)


def downgrade() -> None:
    begin()
    for table in reversed(TABLES):
        op.drop_table(table, schema="training")
