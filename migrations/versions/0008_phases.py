"""Training phases: macro-, meso- and microcycles.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import begin, grant, protect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

CHANGEABLE = (
    "parent_id",
    "kind",
    "start_date",
    "end_date",
    "display_name",
    "focus",
    "volume_factors",
    "intensity_factors",
    "deload_weeks",
    "day_emphases",
    "description",
    "version",
    "updated_at",
)


def upgrade() -> None:
    begin()
    # Lets an index of ranges begin with the athlete.
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public")
    op.create_table(
        "training_phases",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("end_date", sa.Date(), nullable=False, comment="The day after the last."),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("focus", sa.Text(), nullable=False),
        sa.Column("volume_factors", sa.ARRAY(sa.Double()), nullable=False, comment="Of its weeks."),
        sa.Column(
            "intensity_factors", sa.ARRAY(sa.Double()), nullable=False, comment="Of its weeks."
        ),
        sa.Column("deload_weeks", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="From 1."),
        sa.Column("day_emphases", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Rises with each change; the etag."
        ),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="training_phases_pkey"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "parent_id"],
            ["training.training_phases.external_user_id", "training.training_phases.id"],
            name="training_phases_parent_fkey",
        ),
        sa.CheckConstraint(
            "kind IN ('MACROCYCLE', 'MESOCYCLE', 'MICROCYCLE')", name="training_phases_kind"
        ),
        sa.CheckConstraint("start_date < end_date", name="training_phases_dates"),
        sa.CheckConstraint("parent_id <> id", name="training_phases_not_itself"),
        schema="training",
        comment="Macro-, meso- and microcycles; siblings never overlap.",
    )
    # Those at the top are siblings too; NULL would equal nothing.
    op.execute("""
        ALTER TABLE training.training_phases ADD CONSTRAINT training_phases_overlap
        EXCLUDE USING gist (
            external_user_id WITH =,
            coalesce(parent_id, '00000000-0000-0000-0000-000000000000'::uuid) WITH =,
            daterange(start_date, end_date) WITH &&
        )
    """)
    op.create_table(
        "phase_calendars",
        sa.Column("external_user_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", name="phase_calendars_pkey"),
        schema="training",
        comment="Athletes with phases. Who changes phases locks the row first.",
    )
    grant(f"SELECT, INSERT, DELETE, UPDATE ({', '.join(CHANGEABLE)})", "training_phases")
    grant("SELECT, INSERT, UPDATE", "phase_calendars")
    for table in ("training_phases", "phase_calendars"):
        protect(table)


def downgrade() -> None:
    begin()
    for table in ("phase_calendars", "training_phases"):
        op.drop_table(table, schema="training")
    # The extension belongs to the database and may serve others: it stays.
