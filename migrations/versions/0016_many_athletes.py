"""A role that reads of many athletes at once, by what each of them allowed.

Revision: 0016
"""

from alembic import op

from migrations.support import (
    COACH_ROLE,
    GRANTEE,
    HOLDS,
    OWN_GROUPS,
    begin,
    create_role,
    open_to_coaches,
)

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = (
    "sessions",
    "session_metrics",
    "exercise_metrics",
    "personal_records",
    "load_checkpoints",
    "wellness_entries",
    "training_phases",
    "schedules",
    "schedule_changes",
)
"""What is read of many athletes."""


def upgrade() -> None:
    begin()
    create_role(COACH_ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA training TO {COACH_ROLE}")
    op.execute(f"GRANT SELECT ON training.groups, training.group_members TO {COACH_ROLE}")
    op.execute(f"GRANT SELECT ON training.access_grants TO {COACH_ROLE}")
    op.execute(f"GRANT SELECT, INSERT ON training.access_log TO {COACH_ROLE}")
    op.execute(f"""
        CREATE POLICY granted ON training.access_grants FOR SELECT TO {COACH_ROLE}
        USING (grantee_user_id = {GRANTEE} OR group_id IN ({OWN_GROUPS}))
    """)
    op.execute(f"""
        CREATE POLICY granted ON training.access_log FOR SELECT TO {COACH_ROLE}
        USING (grantee_user_id = {GRANTEE})
    """)
    op.execute(f"""
        CREATE POLICY noted ON training.access_log FOR INSERT TO {COACH_ROLE}
        WITH CHECK (grantee_user_id = {GRANTEE} AND EXISTS (
            SELECT FROM training.access_grants AS one
            WHERE one.external_user_id = access_log.external_user_id AND one.id = grant_id
            AND {HOLDS}
        ))
    """)
    for table in TABLES:
        open_to_coaches(table)


def downgrade() -> None:
    begin()
    for table in TABLES:
        op.execute(f"DROP POLICY granted ON training.{table}")
        op.execute(f"DROP POLICY shared ON training.{table}")
    op.execute("DROP POLICY granted ON training.access_grants")
    op.execute("DROP POLICY granted ON training.access_log")
    op.execute("DROP POLICY noted ON training.access_log")
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA training FROM {COACH_ROLE}")
    op.execute(f"REVOKE USAGE ON SCHEMA training FROM {COACH_ROLE}")
    # The role belongs to the cluster and may serve others: it stays.
