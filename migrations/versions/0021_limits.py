"""Token buckets that servers share.

Revision: 0021
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, GRANTEE_ROLE, begin, grant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.create_table(
        "rate_buckets",
        sa.Column("caller", sa.Text(), nullable=False, comment="The pseudonym of who calls."),
        sa.Column("cost_class", sa.Text(), nullable=False),
        sa.Column("tokens_given", sa.Double(), nullable=False, comment="To who asked last."),
        sa.Column("full_at_seconds", sa.Double(), nullable=False, comment="Since 1970."),
        sa.PrimaryKeyConstraint("caller", "cost_class", name="rate_buckets_pkey"),
        schema="training",
        prefixes=["UNLOGGED"],
        comment="How often callers may call, when servers share it; a full bucket has no row.",
    )
    for role in (APP_ROLE, GRANTEE_ROLE):
        grant("SELECT, INSERT, UPDATE, DELETE", "rate_buckets", role)


def downgrade() -> None:
    begin()
    op.drop_table("rate_buckets", schema="training")
