"""How athletes feel, day by day.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import begin, grant, protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RATINGS = ("sleep", "stress", "fatigue", "soreness")


def upgrade() -> None:
    begin()
    op.create_table(
        "wellness_entries",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="From 1; the highest is current."
        ),
        sa.Column("time_zone", sa.Text(), nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in RATINGS),
        sa.Column("hrv_ms", sa.Double(), nullable=True, comment="RMSSD."),
        sa.Column("resting_heart_rate_bpm", sa.Double(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "external_user_id", "local_date", "version", name="wellness_entries_pkey"
        ),
        *(
            sa.CheckConstraint(f"{name} BETWEEN 1 AND 7", name=f"wellness_entries_{name}_range")
            for name in RATINGS
        ),
        schema="training",
        comment="How athletes felt on their days, 1 the best to 7 the worst; append-only.",
    )
    grant("SELECT, INSERT", "wellness_entries")
    protect("wellness_entries")


def downgrade() -> None:
    begin()
    op.drop_table("wellness_entries", schema="training")
