"""Schedules can be changed.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, begin, grant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHANGEABLE = (
    "display_name, start_date, end_date, workout_ids, weekdays, missed_policy, version, updated_at"
)


def upgrade() -> None:
    begin()
    # A server of the version before writes neither.
    op.add_column(
        "schedules",
        sa.Column(
            "version",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("1"),
            comment="Rises with each change; the etag.",
        ),
        schema="training",
    )
    op.add_column(
        "schedules",
        sa.Column(
            "updated_at",
            sa.TIMESTAMP(timezone=True),
            nullable=True,
            comment="Null until the first change.",
        ),
        schema="training",
    )
    grant(f"UPDATE ({CHANGEABLE})", "schedules")


def downgrade() -> None:
    begin()
    op.execute(f"REVOKE UPDATE ({CHANGEABLE}) ON training.schedules FROM {APP_ROLE}")
    for column in ("updated_at", "version"):
        op.drop_column("schedules", column, schema="training")
