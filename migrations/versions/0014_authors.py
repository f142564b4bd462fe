"""Who wrote what, of those who wrote it under a grant.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, GRANTEE, GRANTEE_ROLE, begin

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = (
    "workout_revisions",
    "sessions",
    "session_retractions",
    "progression_rules",
    "wellness_entries",
    "training_phases",
    "schedules",
    "schedule_changes",
    "goals",
)
UPDATED_BY_COLUMN = (
    "training_phases",
    "schedules",
    "schedule_changes",
    "goals",
)
"""Those of them of which the service may update some columns and not all."""


def upgrade() -> None:
    begin()
    for table in TABLES:
        op.add_column(
            table,
            sa.Column(
                "author_user_id",
                sa.Uuid(),
                nullable=True,
                comment="Who wrote it under a grant; null for the athlete and services.",
            ),
            schema="training",
        )
        # In a second step: those who wrote the rows that are there already are not known.
        op.alter_column(table, "author_user_id", server_default=sa.text(GRANTEE), schema="training")
    op.add_column(
        "write_requests",
        sa.Column(
            "named_user_id", sa.Uuid(), nullable=True, comment="Another user whom the answer names."
        ),
        schema="training",
    )
    for role in (APP_ROLE, GRANTEE_ROLE):
        for table in UPDATED_BY_COLUMN:
            op.execute(f"GRANT UPDATE (author_user_id) ON training.{table} TO {role}")
        op.execute(f"GRANT UPDATE (named_user_id) ON training.write_requests TO {role}")


def downgrade() -> None:
    begin()
    op.drop_column("write_requests", "named_user_id", schema="training")
    for table in TABLES:
        op.drop_column(table, "author_user_id", schema="training")
