"""Hard sets and the sets without assistance; checkpoints of moving averages of load.

Rows that are there already lack them until `training-service rebuild-metrics`.

Revision: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from migrations.support import begin, grant, protect

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("session_metrics", "exercise_metrics")
HARD_SETS: dict[str, TypeEngine[Any]] = {
    "hard_sets": sa.Double(),
    "hard_sets_known": sa.SmallInteger(),
    "hard_sets_sets": sa.SmallInteger(),
}


def upgrade() -> None:
    begin()
    for table in TABLES:
        for name, kind in HARD_SETS.items():
            op.add_column(table, sa.Column(name, kind, nullable=True), schema="training")
    op.add_column(
        "exercise_metrics",
        sa.Column(
            "unaided_sets",
            sa.ARRAY(sa.Double()),
            nullable=True,
            comment="Repetitions or seconds of the sets without assistance, the most first; of "
            "one-sided work the weaker side's. Missing in rows of an older version.",
        ),
        schema="training",
    )
    op.create_table(
        "load_histories",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", name="load_histories_pkey"),
        schema="training",
        comment="Athletes with checkpoints. Who stores or outdates checkpoints locks the row "
        "first.",
    )
    op.create_table(
        "load_checkpoints",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False, comment="What load is counted in."),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column(
            "training_day_count", sa.Integer(), nullable=False, comment="Days with a load so far."
        ),
        *(
            sa.Column(name, sa.Double(), nullable=False)
            for name in ("ewma_acute", "ewma_chronic", "fitness", "fatigue")
        ),
        sa.PrimaryKeyConstraint(
            "external_user_id", "unit", "local_date", name="load_checkpoints_pkey"
        ),
        schema="training",
        comment="How moving averages stood at the end of some days long past; derived, made by "
        "who reads, removed by who changes a session before.",
    )
    grant("SELECT, INSERT, UPDATE", "load_histories")
    grant("SELECT, INSERT, DELETE", "load_checkpoints")
    for table in ("load_histories", "load_checkpoints"):
        protect(table)


def downgrade() -> None:
    begin()
    for table in ("load_checkpoints", "load_histories"):
        op.drop_table(table, schema="training")
    op.drop_column("exercise_metrics", "unaided_sets", schema="training")
    for table in TABLES:
        for name in HARD_SETS:
            op.drop_column(table, name, schema="training")
