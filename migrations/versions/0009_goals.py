"""What athletes want to reach, and the loads that goals are compared with.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from migrations.support import begin, grant, protect

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KINDS = "'REPS', 'HOLD', 'LOAD', 'RELATIVE_STRENGTH', 'SKILL', 'FREQUENCY'"
CHECKS = {
    "goals_kind": f"kind IN ({KINDS})",
    "goals_exercise_whole": "(kind = 'FREQUENCY') = (exercise_id IS NULL)",
    "goals_target_whole": "(kind = 'SKILL') = (target_value IS NULL)",
    "goals_target_range": "target_value > 0",
    "goals_min_reps_whole": "(kind = 'LOAD') = (min_reps IS NOT NULL)",
    "goals_min_reps_range": "min_reps BETWEEN 1 AND 20",
    "goals_path_whole": "(kind = 'SKILL') = (cardinality(path) > 0)",
    "goals_path_weights": "cardinality(path) = cardinality(path_weights)",
}


def upgrade() -> None:
    begin()
    op.create_table(
        "goals",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("exercise_id", sa.Uuid(), nullable=True),
        sa.Column(
            "target_value",
            sa.Double(),
            nullable=True,
            comment="By kind: repetitions, seconds, kilograms, body masses or sessions a week.",
        ),
        sa.Column("min_reps", sa.SmallInteger(), nullable=True),
        sa.Column(
            "base_value", sa.Double(), nullable=True, comment="The current value at creation."
        ),
        sa.Column(
            "path",
            ARRAY(sa.Uuid()),
            nullable=False,
            comment="Exercises to pass for a skill, in order, as they were at creation.",
        ),
        sa.Column("path_weights", ARRAY(sa.Double()), nullable=False),
        sa.Column("created_date", sa.Date(), nullable=False, comment="Of the athlete."),
        sa.Column("deadline", sa.Date(), nullable=True),
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            comment="Rises with each change; the etag.",
        ),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("abandoned_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="goals_pkey"),
        sa.ForeignKeyConstraint(
            ["exercise_id"], ["training.exercises.id"], name="goals_exercise_fkey"
        ),
        *(sa.CheckConstraint(condition, name=name) for name, condition in CHECKS.items()),
        schema="training",
        comment="What athletes want to reach. How far they are is reckoned when it is read.",
    )
    grant("SELECT, INSERT", "goals")
    changeable = "display_name, deadline, version, updated_at, abandoned_at"
    grant(f"UPDATE ({changeable})", "goals")
    protect("goals")
    op.add_column(
        "exercise_metrics",
        sa.Column(
            "loads_kg_by_reps",
            ARRAY(sa.Double()),
            nullable=True,
            comment="The n-th is the largest added load of a set of n repetitions or more; of "
            "one-sided work the weaker side's. Missing in rows of an older version.",
        ),
        schema="training",
    )


def downgrade() -> None:
    begin()
    op.drop_column("exercise_metrics", "loads_kg_by_reps", schema="training")
    op.drop_table("goals", schema="training")
