"""Groups, grants of access, their use on record, and policies that look at them.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

from migrations.support import (
    APP_ROLE,
    GRANTEE,
    GRANTEE_ROLE,
    OWN_GROUPS,
    begin,
    create_role,
    grant,
    guard,
    protect,
)

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = (
    "write_requests",
    "workouts",
    "workout_revisions",
    "workout_exercises",
    "sessions",
    "session_exercises",
    "session_retractions",
    "session_metrics",
    "exercise_metrics",
    "personal_records",
    "load_histories",
    "load_checkpoints",
    "wellness_entries",
    "training_phases",
    "phase_calendars",
    "goals",
    "progression_rules",
    "schedules",
    "schedule_changes",
)
"""All that athletes own, as of this revision."""

ROLES = "('COACH', 'ASSISTANT', 'ATHLETE')"
# What a grantee's transaction may do is what the service may: policies say with which rows.
COPY_PRIVILEGES = f"""
    DO $$
    DECLARE
        one record;
    BEGIN
        FOR one IN
            SELECT table_name, privilege_type, '' AS columns
            FROM information_schema.role_table_grants
            WHERE table_schema = 'training' AND grantee = '{APP_ROLE}'
            UNION ALL
            SELECT table_name, privilege_type, format('(%I)', column_name)
            FROM information_schema.role_column_grants AS of_column
            WHERE table_schema = 'training' AND grantee = '{APP_ROLE}'
            AND NOT EXISTS (
                SELECT FROM information_schema.role_table_grants AS of_table
                WHERE of_table.table_schema = 'training' AND of_table.grantee = '{APP_ROLE}'
                AND of_table.table_name = of_column.table_name
                AND of_table.privilege_type = of_column.privilege_type
            )
        LOOP
            EXECUTE format(
                'GRANT %s %s ON training.%I TO {GRANTEE_ROLE}',
                one.privilege_type, one.columns, one.table_name
            );
        END LOOP;
    END $$
"""


def upgrade() -> None:
    begin()
    create_groups()
    create_grants()
    create_role(GRANTEE_ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA training TO {GRANTEE_ROLE}")
    op.execute(COPY_PRIVILEGES)
    # A grantee sees what concerns them. The other policies look at grants, so these can't.
    concerns = {
        "access_grants": f"grantee_user_id = {GRANTEE} OR group_id IN ({OWN_GROUPS})",
        "access_log": f"grantee_user_id = {GRANTEE}",
    }
    for table, condition in concerns.items():
        protect(table)
        op.execute(f"""
            CREATE POLICY grantee ON training.{table} AS RESTRICTIVE TO {GRANTEE_ROLE}
            USING ({condition})
        """)
    for table in TABLES:
        guard(table)


def create_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "group_external_id", sa.Text(), nullable=False, comment="What the platform calls it."
        ),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Rises with each change; the etag."
        ),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="groups_pkey"),
        sa.CheckConstraint("kind IN ('TEAM', 'PRIVATE_COACHING')", name="groups_kind"),
        schema="training",
        comment="Teams, and coaches with those whom they train alone. Who changes who is in one "
        "locks the row first.",
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("member_user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("sharing", sa.ARRAY(sa.Text()), nullable=False, comment="Names of Sharing."),
        sa.Column(
            "joined_at",
            sa.TIMESTAMP(timezone=True),
            nullable=False,
            comment="Grants of before do not hold.",
        ),
        sa.PrimaryKeyConstraint("group_id", "member_user_id", name="group_members_pkey"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["training.groups.id"],
            name="group_members_group_fkey",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(f"role IN {ROLES}", name="group_members_role"),
        sa.CheckConstraint("role = 'ATHLETE' OR sharing = '{}'", name="group_members_sharing"),
        schema="training",
        comment="Who is in which group now, and as what.",
    )
    op.create_index(
        "group_members_user_idx", "group_members", ["member_user_id", "group_id"], schema="training"
    )
    op.create_table(
        "group_invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("invited_user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "wanted_scopes", sa.ARRAY(sa.Text()), nullable=False, comment="Names of GrantScope."
        ),
        sa.Column("inviter_user_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="group_invitations_pkey"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["training.groups.id"],
            name="group_invitations_group_fkey",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(f"role IN {ROLES}", name="group_invitations_role"),
        sa.CheckConstraint(
            "state IN ('OPEN', 'ACCEPTED', 'DECLINED', 'WITHDRAWN')", name="group_invitations_state"
        ),
        schema="training",
        comment="Invitations into groups; those that were open when their time ended stay so.",
    )
    for column, name in (("group_id", "group"), ("invited_user_id", "user")):
        op.create_index(
            f"group_invitations_{name}_idx", "group_invitations", [column, "id"], schema="training"
        )
    grant("SELECT, INSERT, UPDATE, DELETE", "groups")
    grant("SELECT, INSERT, UPDATE (role, sharing), DELETE", "group_members")
    grant("SELECT, INSERT, UPDATE (state)", "group_invitations")


def create_grants() -> None:
    op.create_table(
        "access_grants",
        sa.Column("external_user_id", sa.Uuid(), nullable=False, comment="The athlete who grants."),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grantee_user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "group_id",
            sa.Uuid(),
            nullable=True,
            comment="Of a grant to a group; no longer there, it holds no more.",
        ),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False, comment="Names of GrantScope."),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="access_grants_pkey"),
        sa.CheckConstraint("cardinality(scopes) > 0", name="access_grants_scopes"),
        sa.CheckConstraint(
            "num_nonnulls(grantee_user_id, group_id) = 1", name="access_grants_grantee"
        ),
        schema="training",
        comment="What athletes let others do; the policies of all their tables look here.",
    )
    op.create_index(
        "access_grants_grantee_idx",
        "access_grants",
        ["external_user_id", "grantee_user_id"],
        schema="training",
    )
    op.create_table(
        "access_log",
        sa.Column(
            "external_user_id", sa.Uuid(), nullable=False, comment="The athlete whose data it was."
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("grantee_user_id", sa.Uuid(), nullable=False),
        sa.Column("rpc", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=False, comment="Finds the call in the logs."),
        sa.Column("accessed_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("external_user_id", "id", name="access_log_pkey"),
        sa.ForeignKeyConstraint(
            ["external_user_id", "grant_id"],
            ["training.access_grants.external_user_id", "training.access_grants.id"],
            name="access_log_grant_fkey",
        ),
        schema="training",
        comment="Uses of grants; only added to.",
    )
    grant("SELECT, INSERT, UPDATE (revoked_at)", "access_grants")
    grant("SELECT, INSERT", "access_log")


def downgrade() -> None:
    begin()
    for table in TABLES:
        op.execute(f"DROP POLICY grantee ON training.{table}")
    op.drop_table("access_log", schema="training")
    op.drop_table("access_grants", schema="training")
    for table in ("group_invitations", "group_members", "groups"):
        op.drop_table(table, schema="training")
    op.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA training FROM {GRANTEE_ROLE}")
    op.execute(f"REVOKE USAGE ON SCHEMA training FROM {GRANTEE_ROLE}")
    # The role belongs to the cluster and may serve others: it stays.
