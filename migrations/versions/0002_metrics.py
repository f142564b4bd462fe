"""What sessions amount to: metrics of each and of its exercises, and personal records.

Sessions that are there already have none until `training-service rebuild-metrics`.

Revision: 0002
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.support import begin, grant, protect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEASURES = (
    "reps",
    "hold_seconds",
    "dynamic_seconds",
    "volume_load_kg",
    "external_volume_load_kg",
    "impulse_kg_seconds",
    "effective_reps",
    "skill_effective_reps",
    "strength_effective_reps",
    "core_effective_reps",
)
EXERCISE_MEASURES = ("reps", "hold_seconds", "volume_load_kg", "effective_reps")
BESTS = (
    "most_reps",
    "longest_hold_seconds",
    "heaviest_load_kg",
    "epley_1rm_kg",
    "brzycki_1rm_kg",
)
TABLES = ("session_metrics", "exercise_metrics", "personal_records")


def upgrade() -> None:
    begin()
    op.create_table(
        "session_metrics",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("workout_id", sa.Uuid(), nullable=True),
        sa.Column(
            "formula_version", sa.SmallInteger(), nullable=False, comment="Of the arithmetic."
        ),
        sa.Column("set_count", sa.SmallInteger(), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column("load_au", sa.Double(), nullable=True),
        *_sums(MEASURES),
        sa.PrimaryKeyConstraint(
            "external_user_id", "local_date", "session_id", name="session_metrics_pkey"
        ),
        schema="training",
        comment="What each session that counts amounts to; derived, can be rebuilt from records.",
    )
    op.create_table(
        "exercise_metrics",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, comment="In the session."),
        sa.Column("set_count", sa.SmallInteger(), nullable=False),
        *_sums(EXERCISE_MEASURES),
        *(sa.Column(name, sa.Double(), nullable=True) for name in BESTS),
        sa.PrimaryKeyConstraint(
            "external_user_id",
            "exercise_id",
            "local_date",
            "session_id",
            "position",
            name="exercise_metrics_pkey",
        ),
        schema="training",
        comment="What each exercise of a session that counts amounts to; derived.",
    )
    op.create_index(
        "exercise_metrics_session_idx",
        "exercise_metrics",
        ["external_user_id", "local_date", "session_id"],
        schema="training",
    )
    op.create_table(
        "personal_records",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="A column of exercise_metrics."),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False, comment="When it was first reached."),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "external_user_id", "exercise_id", "kind", name="personal_records_pkey"
        ),
        schema="training",
        comment="The best of each kind that an athlete did in an exercise; derived.",
    )
    op.create_index(
        "personal_records_date_idx",
        "personal_records",
        ["external_user_id", "local_date"],
        schema="training",
    )
    for table in TABLES:
        grant("SELECT, INSERT, UPDATE, DELETE", table)
        protect(table)


def downgrade() -> None:
    begin()
    for table in TABLES:
        op.drop_table(table, schema="training")


def _sums(names: Iterable[str]) -> list[sa.Column[Any]]:
    return [
        column
        for name in names
        for column in (
            sa.Column(name, sa.Double(), nullable=False),
            sa.Column(f"{name}_known", sa.SmallInteger(), nullable=False),
            sa.Column(f"{name}_sets", sa.SmallInteger(), nullable=False),
        )
    ]
