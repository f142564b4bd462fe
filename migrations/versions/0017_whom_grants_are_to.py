"""Grants are found by whom they are to, without going through those of all athletes.

Revision: 0017
"""

from alembic import op

from migrations.support import begin

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEXES = {"grantee_user_id": "access_grants_to_user_idx", "group_id": "access_grants_to_group_idx"}


def upgrade() -> None:
    begin()
    for column, name in INDEXES.items():
        op.create_index(name, "access_grants", [column], schema="training")


def downgrade() -> None:
    begin()
    for name in INDEXES.values():
        op.drop_index(name, "access_grants", schema="training")
