"""Rules of progression.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import begin, grant, protect

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "progression_rules",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=False),
        sa.Column("workout_id", sa.Uuid(), nullable=True),
        sa.Column(
            "workout_order",
            sa.SmallInteger(),
            nullable=True,
            comment="Place of the exercise in the workout, from 1.",
        ),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("auto_apply", sa.Boolean(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Rises with each change; the etag."
        ),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "record", sa.LargeBinary(), nullable=False, comment="The ProgressionRule message."
        ),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="progression_rules_pkey"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "workout_id"],
            ["training.workouts.external_user_id", "training.workouts.id"],
            name="progression_rules_workout_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["exercise_id"], ["training.exercises.id"], name="progression_rules_exercise_fkey"
        ),
        sa.CheckConstraint(
            "(workout_id IS NULL) = (workout_order IS NULL)", name="progression_rules_slot_whole"
        ),
        schema="training",
        comment="How athletes want to progress. Where a rule stands is reckoned from sessions and "
        "kept nowhere.",
    )
    op.create_index(
        "progression_rules_exercise_key",
        "progression_rules",
        ["external_user_id", "exercise_id"],
        unique=True,
        schema="training",
        postgresql_where=sa.text("workout_id IS NULL"),
    )
    op.create_index(
        "progression_rules_slot_key",
        "progression_rules",
        ["external_user_id", "workout_id", "workout_order"],
        unique=True,
        schema="training",
        postgresql_where=sa.text("workout_id IS NOT NULL"),
    )
    grant("SELECT, INSERT, UPDATE, DELETE", "progression_rules")
    protect("progression_rules")


def downgrade() -> None:
    begin()
    op.drop_table("progression_rules", schema="training")
