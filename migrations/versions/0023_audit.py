"""Records of who looked at whom, and of what administrators did.

Revision: 0023
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import GRANTEE_ROLE, begin, grant

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "audit_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False, comment="Finds the call in the logs."),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="Empty when it was not refused."),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False, comment="Pseudonym."),
        sa.Column("caller_roles", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("subject", sa.Text(), comment="Pseudonym; null where no one person is meant."),
        sa.Column("grant_id", sa.Uuid(), comment="That let the caller in, if one did."),
        sa.PrimaryKeyConstraint("id", name="audit_records_pkey"),
        schema="training",
        comment="Accesses to others' data and by administrators; only added to. Users stand in it "
        "by their pseudonyms, so that it outlives them.",
    )
    # No column refers to a grant or a user: what is erased elsewhere leaves the record as it was.
    for role in ("training_app", GRANTEE_ROLE):
        grant("INSERT", "audit_records", role)


def downgrade() -> None:
    begin()
    op.drop_table("audit_records", schema="training")
