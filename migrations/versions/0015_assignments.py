"""Whose workouts and phases athletes have copies of.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, GRANTEE_ROLE, begin, grant, guard, protect

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "assignments",
        sa.Column(
            "external_user_id",
            sa.Uuid(),
            nullable=False,
            comment="The athlete who was given a copy.",
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "target_id",
            sa.Uuid(),
            nullable=False,
            comment="The copy: a workout, or the topmost phase.",
        ),
        sa.Column("source_user_id", sa.Uuid(), nullable=False, comment="The coach."),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("source_revision", sa.Integer(), nullable=False, comment="That was last given."),
        sa.Column(
            "target_revision",
            sa.Integer(),
            nullable=False,
            comment="Of the copy when it was last given: one above it was changed since.",
        ),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="assignments_pkey"),
        sa.CheckConstraint("kind IN ('WORKOUT', 'PHASE')", name="assignments_kind"),
        schema="training",
        comment="Whose workouts and phases athletes have copies of; of each workout one.",
    )
    op.create_index(
        "assignments_source_key",
        "assignments",
        ["external_user_id", "source_user_id", "source_id"],
        unique=True,
        schema="training",
        postgresql_where=sa.text("kind = 'WORKOUT'"),
    )
    changeable = "target_id, source_revision, target_revision, updated_at"
    for role in (APP_ROLE, GRANTEE_ROLE):
        grant(f"SELECT, INSERT, UPDATE ({changeable})", "assignments", role)
    protect("assignments")
    guard("assignments")


def downgrade() -> None:
    begin()
    op.drop_table("assignments", schema="training")
