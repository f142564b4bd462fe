"""What must be done of an exercise before harder ones come, where an administrator has set it.

Revision: 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from migrations.support import begin

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS: dict[str, TypeEngine[Any]] = {
    "criterion_set_count": sa.SmallInteger(),
    "criterion_amount": sa.Double(),
    "criterion_session_count": sa.SmallInteger(),
}
COMMENTS = {"criterion_amount": "Of each set: repetitions, or seconds held."}
CHECKS = {
    "exercises_criterion_whole": "num_nulls(criterion_set_count, criterion_amount, "
    "criterion_session_count) IN (0, 3)",
    "exercises_criterion_sets": "criterion_set_count BETWEEN 1 AND 10",
    "exercises_criterion_amount": "criterion_amount > 0",
    "exercises_criterion_sessions": "criterion_session_count BETWEEN 1 AND 10",
}


def upgrade() -> None:
    begin()
    for name, kind in COLUMNS.items():
        op.add_column(
            "exercises",
            sa.Column(name, kind, nullable=True, comment=COMMENTS.get(name)),
            schema="training",
        )
    for name, condition in CHECKS.items():
        op.create_check_constraint(name, "exercises", condition, schema="training")


def downgrade() -> None:
    begin()
    for name in COLUMNS:
        op.drop_column("exercises", name, schema="training")
