"""What groups publish of their athletes' weeks, and since when each athlete lets them.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import APP_ROLE, COACH_ROLE, GRANTEE_ROLE, begin, grant

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SERVICE_ROLES = (APP_ROLE, GRANTEE_ROLE)


def upgrade() -> None:
    begin()
    op.add_column(
        "group_members",
        sa.Column(
            "analytics_since",
            sa.TIMESTAMP(timezone=True),
            nullable=True,
            comment="Since when ANALYTICS is shared without a break: weeks that began before leave "
            "the member out.",
        ),
        schema="training",
    )
    # Those who share it already did so before now; how long before is not known.
    op.execute("""
        UPDATE training.group_members SET analytics_since = now()
        WHERE 'ANALYTICS' = ANY (sharing)
    """)
    op.create_table(
        "analytics_weeks",
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("start_date", name="analytics_weeks_pkey"),
        schema="training",
        comment="Weeks of which a group published something. Who publishes locks the row first, so "
        "that groups which have athletes in common do it in turn.",
    )
    op.create_table(
        "group_weeks",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False, comment="Monday."),
        sa.Column(
            "record",
            sa.LargeBinary(),
            nullable=True,
            comment="The GroupTotals message as it was published; null when the week is withheld.",
        ),
        sa.Column("decided_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "start_date", name="group_weeks_pkey"),
        schema="training",
        comment="What groups published of weeks, once for all.",
    )
    op.create_table(
        "group_week_contributors",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("start_date", sa.Date(), nullable=False),
        sa.Column("member_user_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "group_id", "start_date", "member_user_id", name="group_week_contributors_pkey"
        ),
        sa.ForeignKeyConstraint(
            ["group_id", "start_date"],
            ["training.group_weeks.group_id", "training.group_weeks.start_date"],
            name="group_week_contributors_week_fkey",
        ),
        schema="training",
        comment="Whose weeks are in what was published. Of a week whose numbers were deleted with "
        "an athlete, those of the others.",
    )
    op.create_index(
        "group_week_contributors_user_idx",
        "group_week_contributors",
        ["member_user_id", "start_date"],
        schema="training",
    )
    for role in SERVICE_ROLES:
        grant("UPDATE (analytics_since)", "group_members", role)
        # To lock its rows takes a right to update.
        grant("SELECT, INSERT, UPDATE", "analytics_weeks", role)
        grant("SELECT, INSERT, UPDATE (record)", "group_weeks", role)
        grant("SELECT, INSERT, DELETE", "group_week_contributors", role)
    for table in ("group_weeks", "group_week_contributors"):
        grant("SELECT", table, COACH_ROLE)


def downgrade() -> None:
    begin()
    for table in ("group_week_contributors", "group_weeks", "analytics_weeks"):
        op.drop_table(table, schema="training")
    op.drop_column("group_members", "analytics_since", schema="training")
