"""The index by which a missing load is taken from earlier sessions of the same workout.

In a revision of its own, since it is built while writers go on.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "session_metrics_workout_idx"
LOCK_TIMEOUT_SECONDS = 5


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # It waits for transactions that are under way, such as exports, and nobody waits for it.
        op.execute("SET lock_timeout = 0")
        # What an attempt that failed left behind is not valid, and stands in the way.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS training.{NAME}")
        op.create_index(
            NAME,
            "session_metrics",
            ["external_user_id", "workout_id", "started_at"],
            schema="training",
            postgresql_where=sa.text("workout_id IS NOT NULL AND load_au IS NOT NULL"),
            postgresql_concurrently=True,
        )
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS training.{NAME}")
