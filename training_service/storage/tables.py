"""The schema, as SQLAlchemy tables.

Shared reference data (the exercise catalogue) stands in tables of its own. Every table of an
athlete's data begins its primary key, its indexes and its foreign keys with `external_user_id`:
that is what row-level security compares, and what the data can be spread over machines by.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    column,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, ExcludeConstraint
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

SCHEMA = "training"

metadata = MetaData(schema=SCHEMA)


class Xid8(UserDefinedType[str]):
    """PostgreSQL's 64-bit transaction id, as text."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        """Returns its name in SQL."""
        return "xid8"


class PgSnapshot(UserDefinedType[str]):
    """Which transactions had ended at one moment, as PostgreSQL writes it."""

    cache_ok = True
    # As a parameter of this type it is read once, and not for each row.
    render_bind_cast = True

    def get_col_spec(self, **_: object) -> str:
        """Returns its name in SQL."""
        return "pg_snapshot"


# Else Alembic would not know the column's type when it compares a database with these tables.
ischema_names["xid8"] = Xid8

OPTIONAL_TABLES = frozenset({"exercise_vectors"})
"""Tables that are there only where the database has an extension: of the schema, and not below."""

FILLED_LATER = "filled later"
"""Marks a column that no INSERT gives a value."""

TIMESTAMP = DateTime(timezone=True)
TEXTS = ARRAY(Text)


def _transaction_id() -> Column[str]:
    """Returns the column that says which transaction stored a row: the order in which changes
    became visible, which no clock tells."""
    return Column(
        "transaction_id", Xid8, nullable=False, server_default=text("pg_current_xact_id()")
    )


def _author() -> Column[UUID]:
    """Returns the column that says who wrote a row. PostgreSQL fills it in, from the setting by
    which it also looks for the grant: no statement names an author."""
    return Column(
        "author_user_id",
        Uuid,
        server_default=text("NULLIF(current_setting('app.grantee_user_id', true), '')::uuid"),
        comment="Who wrote it under a grant; null for the athlete and services.",
    )


catalogue_state = Table(
    "catalogue_state",
    metadata,
    Column("id", SmallInteger, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="catalogue_state_pkey"),
    CheckConstraint("id = 1", name="catalogue_state_one_row"),
    comment="One row: a number that rises with each change of the catalogue. Its row lock makes "
    "changes take turns.",
)

installation = Table(
    "installation",
    metadata,
    Column("id", SmallInteger, autoincrement=False),
    Column("pseudonym_key", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id", name="installation_pkey"),
    CheckConstraint("id = 1", name="installation_one_row"),
    comment="One row: what tells this installation from others.",
)

rate_buckets = Table(
    "rate_buckets",
    metadata,
    Column("caller", Text, comment="The pseudonym of who calls."),
    Column("cost_class", Text),
    Column("tokens_given", Double, nullable=False, comment="To who asked last."),
    Column("full_at_seconds", Double, nullable=False, comment="Since 1970."),
    PrimaryKeyConstraint("caller", "cost_class", name="rate_buckets_pkey"),
    # What is lost in a crash is how often somebody called in the last seconds.
    prefixes=["UNLOGGED"],
    comment="How often callers may call, when servers share it; a full bucket has no row.",
)

audit_records = Table(
    "audit_records",
    metadata,
    Column("id", Uuid),
    Column("recorded_at", TIMESTAMP, nullable=False),
    Column("request_id", Text, nullable=False, comment="Finds the call in the logs."),
    Column("method", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="Empty when it was not refused."),
    Column("duration_ms", Double, nullable=False),
    Column("caller", Text, nullable=False, comment="Pseudonym."),
    Column("caller_roles", TEXTS, nullable=False),
    Column("subject", Text, comment="Pseudonym; null where no one person is meant."),
    Column("grant_id", Uuid, comment="That let the caller in, if one did."),
    PrimaryKeyConstraint("id", name="audit_records_pkey"),
    comment="Accesses to others' data and by administrators; only added to. Users stand in it "
    "by their pseudonyms, so that it outlives them.",
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("pseudonym", LargeBinary),
    Column("requested_at", TIMESTAMP, nullable=False),
    Column("erased_at", TIMESTAMP, comment="Null until all is done."),
    Column("archive_objects", BigInteger, nullable=False, server_default=text("0")),
    Column("receipt", Text, comment="A signed JWS: what was removed, by table."),
    PrimaryKeyConstraint("pseudonym", name="tombstones_pkey"),
    CheckConstraint("(erased_at IS NULL) = (receipt IS NULL)", name="tombstones_receipt_whole"),
    comment="Erased users, by what their ids become under the installation's key. They are "
    "refused from the moment the row is there.",
)

erasure_gates = Table(
    "erasure_gates",
    metadata,
    Column("id", SmallInteger, autoincrement=False),
    Column("passes", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="erasure_gates_pkey"),
    comment="Fixed rows. A write shares that of the first byte of its user's pseudonym until "
    "its end; an erasure changes it, and so waits for writes under way.",
)

exercises = Table(
    "exercises",
    metadata,
    Column("id", Uuid),
    Column("slug", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("aliases", TEXTS, nullable=False),
    Column("category", Text, nullable=False),
    Column("family", Text, nullable=False),
    Column("difficulty", SmallInteger, nullable=False),
    Column("movement_kind", Text, nullable=False),
    Column("contraction_emphasis", Text, nullable=False),
    Column("unilateral", Boolean, nullable=False),
    Column("equipment", TEXTS, nullable=False),
    Column("primary_muscles", TEXTS, nullable=False),
    Column("secondary_muscles", TEXTS, nullable=False),
    Column("bodyweight_fraction", Double, nullable=False),
    Column("description", Text, nullable=False),
    Column("cues", TEXTS, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("replaced_by_id", Uuid),
    Column("search_text", Text, nullable=False, comment="Lower-case names that a search matches."),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("in_use_since", TIMESTAMP, comment="When a workout or session first referred to it."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    Column("criterion_set_count", SmallInteger),
    Column("criterion_amount", Double, comment="Of each set: repetitions, or seconds held."),
    Column("criterion_session_count", SmallInteger),
    PrimaryKeyConstraint("id", name="exercises_pkey"),
    UniqueConstraint("slug", name="exercises_slug_key"),
    ForeignKeyConstraint(
        ["replaced_by_id"], ["training.exercises.id"], name="exercises_replaced_by_fkey"
    ),
    CheckConstraint("difficulty BETWEEN 1 AND 20", name="exercises_difficulty_range"),
    CheckConstraint("movement_kind IN ('DYNAMIC', 'ISOMETRIC')", name="exercises_movement_kind"),
    CheckConstraint("bodyweight_fraction BETWEEN 0 AND 1", name="exercises_fraction_range"),
    CheckConstraint("state IN ('ACTIVE', 'DEPRECATED')", name="exercises_state"),
    CheckConstraint(
        "num_nulls(criterion_set_count, criterion_amount, criterion_session_count) IN (0, 3)",
        name="exercises_criterion_whole",
    ),
    CheckConstraint("criterion_set_count BETWEEN 1 AND 10", name="exercises_criterion_sets"),
    CheckConstraint("criterion_amount > 0", name="exercises_criterion_amount"),
    CheckConstraint(
        "criterion_session_count BETWEEN 1 AND 10", name="exercises_criterion_sessions"
    ),
    comment="The exercise catalogue.",
)

exercise_edges = Table(
    "exercise_edges",
    metadata,
    Column("easier_id", Uuid),
    Column("harder_id", Uuid),
    PrimaryKeyConstraint("easier_id", "harder_id", name="exercise_edges_pkey"),
    ForeignKeyConstraint(
        ["easier_id"], ["training.exercises.id"], name="exercise_edges_easier_fkey"
    ),
    ForeignKeyConstraint(
        ["harder_id"], ["training.exercises.id"], name="exercise_edges_harder_fkey"
    ),
    CheckConstraint("easier_id <> harder_id", name="exercise_edges_not_itself"),
    Index("exercise_edges_harder_idx", "harder_id"),
    comment="The progression graph: from an exercise to the next harder one.",
)

catalogue_requests = Table(
    "catalogue_requests",
    metadata,
    Column("request_id", Uuid),
    Column("request_digest", LargeBinary, nullable=False),
    Column("response", LargeBinary),
    Column("created_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("request_id", name="catalogue_requests_pkey"),
    comment="Answers to catalogue writes that carried a request_id.",
)

write_requests = Table(
    "write_requests",
    metadata,
    Column("external_user_id", Uuid),
    Column("request_id", Uuid),
    Column("request_digest", LargeBinary, nullable=False),
    Column("response", LargeBinary),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("named_user_id", Uuid, comment="Another user whom the answer names."),
    PrimaryKeyConstraint("external_user_id", "request_id", name="write_requests_pkey"),
    comment="Answers to an athlete's writes that carried a request_id, logged sessions apart: "
    "those carry it themselves.",
)

workouts = Table(
    "workouts",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("display_name", Text, nullable=False),
    Column("revision", Integer, nullable=False, comment="The current revision."),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    Column("deleted_at", TIMESTAMP),
    PrimaryKeyConstraint("external_user_id", "id", name="workouts_pkey"),
    comment="Heads of workout templates.",
)

workout_revisions = Table(
    "workout_revisions",
    metadata,
    Column("external_user_id", Uuid),
    Column("workout_id", Uuid),
    Column("revision", Integer),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("record", LargeBinary, nullable=False, comment="The Workout message as it is returned."),
    _author(),
    PrimaryKeyConstraint(
        "external_user_id", "workout_id", "revision", name="workout_revisions_pkey"
    ),
    ForeignKeyConstraint(
        ["external_user_id", "workout_id"],
        ["training.workouts.external_user_id", "training.workouts.id"],
        name="workout_revisions_workout_fkey",
    ),
    comment="What workouts were and are; append-only.",
)

workout_exercises = Table(
    "workout_exercises",
    metadata,
    Column("external_user_id", Uuid),
    Column("workout_id", Uuid),
    Column("position", SmallInteger),
    Column("exercise_id", Uuid, nullable=False),
    Column("set_count", SmallInteger, nullable=False),
    PrimaryKeyConstraint(
        "external_user_id", "workout_id", "position", name="workout_exercises_pkey"
    ),
    ForeignKeyConstraint(
        ["external_user_id", "workout_id"],
        ["training.workouts.external_user_id", "training.workouts.id"],
        name="workout_exercises_workout_fkey",
    ),
    ForeignKeyConstraint(
        ["exercise_id"], ["training.exercises.id"], name="workout_exercises_exercise_fkey"
    ),
    Index("workout_exercises_exercise_idx", "external_user_id", "exercise_id", "workout_id"),
    comment="Exercises of the current revision of workouts that are not deleted.",
)

archive_objects = Table(
    "archive_objects",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("key", Text, nullable=False, comment="In the store; the athlete's pseudonym leads."),
    Column("first_started_at", TIMESTAMP, nullable=False, comment="Of its sessions."),
    Column("last_started_at", TIMESTAMP, nullable=False, comment="Of its sessions."),
    Column("session_count", Integer, nullable=False),
    Column("byte_count", BigInteger, nullable=False, comment="Of the object."),
    Column("sha256", LargeBinary, nullable=False, comment="Of the object."),
    Column("created_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("external_user_id", "id", name="archive_objects_pkey"),
    CheckConstraint("session_count > 0", name="archive_objects_not_empty"),
    comment="Objects of the archive: where the records of old sessions are.",
)

sessions = Table(
    "sessions",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("started_at", TIMESTAMP, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("local_date", Date, nullable=False),
    Column("duration_seconds", Integer),
    Column("session_rpe", Double),
    Column("body_mass_kg", Double),
    Column("completion", Text, nullable=False),
    Column("group_external_id", Text, nullable=False),
    Column("workout_id", Uuid),
    Column("workout_revision", Integer),
    Column("supersedes_id", Uuid, comment="The version this one corrects."),
    Column("original_id", Uuid, comment="The first version; null on the first itself."),
    Column("request_id", Uuid),
    Column("request_digest", LargeBinary, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("record", LargeBinary, comment="The Session message as acknowledged."),
    _transaction_id(),
    _author(),
    Column(
        "archive_object_id",
        Uuid,
        comment="Where the record is when it is not here.",
        info={FILLED_LATER: True},
    ),
    PrimaryKeyConstraint("external_user_id", "id", name="sessions_pkey"),
    UniqueConstraint("external_user_id", "request_id", name="sessions_request_key"),
    ForeignKeyConstraint(
        ["external_user_id", "workout_id", "workout_revision"],
        [
            "training.workout_revisions.external_user_id",
            "training.workout_revisions.workout_id",
            "training.workout_revisions.revision",
        ],
        name="sessions_workout_revision_fkey",
    ),
    ForeignKeyConstraint(
        ["external_user_id", "supersedes_id"],
        ["training.sessions.external_user_id", "training.sessions.id"],
        name="sessions_supersedes_fkey",
    ),
    CheckConstraint(
        "(workout_id IS NULL) = (workout_revision IS NULL)", name="sessions_workout_whole"
    ),
    ForeignKeyConstraint(
        ["external_user_id", "archive_object_id"],
        ["training.archive_objects.external_user_id", "training.archive_objects.id"],
        name="sessions_archive_object_fkey",
    ),
    CheckConstraint(
        "(supersedes_id IS NULL) = (original_id IS NULL)", name="sessions_original_whole"
    ),
    CheckConstraint(
        "(record IS NULL) = (archive_object_id IS NOT NULL)", name="sessions_record_somewhere"
    ),
    Index("sessions_started_idx", "external_user_id", "started_at", "id"),
    Index("sessions_changes_idx", "transaction_id", "external_user_id", "id"),
    Index(
        "sessions_workout_idx",
        "external_user_id",
        "workout_id",
        "started_at",
        postgresql_where=text("workout_id IS NOT NULL"),
    ),
    Index(
        "sessions_original_idx",
        "external_user_id",
        "original_id",
        postgresql_where=text("original_id IS NOT NULL"),
    ),
    comment="Logged sessions; append-only.",
)

session_exercises = Table(
    "session_exercises",
    metadata,
    Column("external_user_id", Uuid),
    Column("session_id", Uuid),
    Column("position", SmallInteger),
    Column("exercise_id", Uuid, nullable=False),
    Column("set_count", SmallInteger, nullable=False),
    PrimaryKeyConstraint(
        "external_user_id", "session_id", "position", name="session_exercises_pkey"
    ),
    ForeignKeyConstraint(
        ["external_user_id", "session_id"],
        ["training.sessions.external_user_id", "training.sessions.id"],
        name="session_exercises_session_fkey",
    ),
    ForeignKeyConstraint(
        ["exercise_id"], ["training.exercises.id"], name="session_exercises_exercise_fkey"
    ),
    Index("session_exercises_exercise_idx", "external_user_id", "exercise_id", "session_id"),
    comment="Exercises of logged sessions; append-only.",
)

session_chains = Table(
    "session_chains",
    metadata,
    Column("external_user_id", Uuid),
    Column("length", BigInteger, nullable=False, comment="In blocks."),
    Column("digest", LargeBinary, nullable=False, comment="Of all blocks so far."),
    PrimaryKeyConstraint("external_user_id", name="session_chains_pkey"),
    comment="Where the chain over an athlete's sessions ends.",
)

session_links = Table(
    "session_links",
    metadata,
    Column("external_user_id", Uuid),
    Column("block", BigInteger, comment="In the chain, from 1 on."),
    Column("position", Integer, comment="In the block, from 1 on."),
    Column("session_id", Uuid, nullable=False),
    Column("record_digest", LargeBinary, nullable=False, comment="SHA-256."),
    PrimaryKeyConstraint("external_user_id", "block", "position", name="session_links_pkey"),
    UniqueConstraint("external_user_id", "session_id", name="session_links_session_key"),
    comment="Sessions in the order in which they were linked; append-only.",
)

session_retractions = Table(
    "session_retractions",
    metadata,
    Column("external_user_id", Uuid),
    Column("session_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("superseded_by_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    _transaction_id(),
    _author(),
    PrimaryKeyConstraint("external_user_id", "session_id", name="session_retractions_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "session_id"],
        ["training.sessions.external_user_id", "training.sessions.id"],
        name="session_retractions_session_fkey",
    ),
    ForeignKeyConstraint(
        ["external_user_id", "superseded_by_id"],
        ["training.sessions.external_user_id", "training.sessions.id"],
        name="session_retractions_successor_fkey",
    ),
    Index("session_retractions_changes_idx", "transaction_id", "external_user_id", "session_id"),
    CheckConstraint("kind IN ('SUPERSEDED', 'VOIDED')", name="session_retractions_kind"),
    CheckConstraint(
        "(kind = 'SUPERSEDED') = (superseded_by_id IS NOT NULL)",
        name="session_retractions_successor",
    ),
    comment="Sessions that count no more, at most once each; append-only.",
)


MEASURES = (
    "reps",
    "hold_seconds",
    "dynamic_seconds",
    "volume_load_kg",
    "external_volume_load_kg",
    "impulse_kg_seconds",
    "effective_reps",
    "skill_effective_reps",
    "strength_effective_reps",
    "core_effective_reps",
    "hard_sets",
)
"""Sums over the sets of a session. Each has three columns: what is known of it, in how many sets it
is known (`_known`), and in how many it could be (`_sets`)."""

EXERCISE_MEASURES = ("reps", "hold_seconds", "volume_load_kg", "effective_reps", "hard_sets")
"""Those of them that are kept for each exercise too."""

BESTS = (
    "most_reps",
    "longest_hold_seconds",
    "heaviest_load_kg",
    "epley_1rm_kg",
    "brzycki_1rm_kg",
)
"""The best of each kind among the sets of an exercise."""

ADDED = frozenset({"hard_sets"})
"""Measures that rows lack which an older version wrote, until they are rebuilt."""


def _sums(names: Iterable[str]) -> list[Column[Any]]:
    return [
        column
        for name in names
        for column in (
            Column(name, Double, nullable=name in ADDED),
            Column(f"{name}_known", SmallInteger, nullable=name in ADDED),
            Column(f"{name}_sets", SmallInteger, nullable=name in ADDED),
        )
    ]


# Neither this table nor the next refers to sessions: what a session amounted to stays when it has
# left for an archive.
session_metrics = Table(
    "session_metrics",
    metadata,
    Column("external_user_id", Uuid),
    Column("local_date", Date),
    Column("session_id", Uuid),
    Column("started_at", TIMESTAMP, nullable=False),
    Column("workout_id", Uuid),
    Column("formula_version", SmallInteger, nullable=False, comment="Of the arithmetic."),
    Column("set_count", SmallInteger, nullable=False),
    Column("duration_seconds", Integer),
    Column("load_au", Double),
    *_sums(MEASURES),
    PrimaryKeyConstraint(
        "external_user_id", "local_date", "session_id", name="session_metrics_pkey"
    ),
    Index(
        "session_metrics_workout_idx",
        "external_user_id",
        "workout_id",
        "started_at",
        postgresql_where=text("workout_id IS NOT NULL AND load_au IS NOT NULL"),
    ),
    comment="What each session that counts amounts to; derived, can be rebuilt from records.",
)

exercise_metrics = Table(
    "exercise_metrics",
    metadata,
    Column("external_user_id", Uuid),
    Column("exercise_id", Uuid),
    Column("local_date", Date),
    Column("session_id", Uuid),
    Column("position", SmallInteger, comment="In the session."),
    Column("set_count", SmallInteger, nullable=False),
    *_sums(EXERCISE_MEASURES),
    *(Column(name, Double) for name in BESTS),
    Column(
        "unaided_sets",
        ARRAY(Double),
        comment="Repetitions or seconds of the sets without assistance, the most first; of "
        "one-sided work the weaker side's. Missing in rows of an older version.",
    ),
    Column(
        "loads_kg_by_reps",
        ARRAY(Double),
        comment="The n-th is the largest added load of a set of n repetitions or more; of "
        "one-sided work the weaker side's. Missing in rows of an older version.",
    ),
    PrimaryKeyConstraint(
        "external_user_id",
        "exercise_id",
        "local_date",
        "session_id",
        "position",
        name="exercise_metrics_pkey",
    ),
    Index("exercise_metrics_session_idx", "external_user_id", "local_date", "session_id"),
    comment="What each exercise of a session that counts amounts to; derived.",
)

personal_records = Table(
    "personal_records",
    metadata,
    Column("external_user_id", Uuid),
    Column("exercise_id", Uuid),
    Column("kind", Text, comment="A column of exercise_metrics."),
    Column("value", Double, nullable=False),
    Column("local_date", Date, nullable=False, comment="When it was first reached."),
    Column("session_id", Uuid, nullable=False),
    PrimaryKeyConstraint("external_user_id", "exercise_id", "kind", name="personal_records_pkey"),
    Index("personal_records_date_idx", "external_user_id", "local_date"),
    comment="The best of each kind that an athlete did in an exercise; derived.",
)

load_histories = Table(
    "load_histories",
    metadata,
    Column("external_user_id", Uuid),
    PrimaryKeyConstraint("external_user_id", name="load_histories_pkey"),
    comment="Athletes with checkpoints. Who stores or outdates checkpoints locks the row first.",
)

load_checkpoints = Table(
    "load_checkpoints",
    metadata,
    Column("external_user_id", Uuid),
    Column("unit", Text, comment="What load is counted in."),
    Column("local_date", Date),
    Column("training_day_count", Integer, nullable=False, comment="Days with a load so far."),
    *(
        Column(name, Double, nullable=False)
        for name in ("ewma_acute", "ewma_chronic", "fitness", "fatigue")
    ),
    PrimaryKeyConstraint("external_user_id", "unit", "local_date", name="load_checkpoints_pkey"),
    comment="How moving averages stood at the end of some days long past; derived, made by who "
    "reads, removed by who changes a session before.",
)

progression_rules = Table(
    "progression_rules",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("exercise_id", Uuid, nullable=False),
    Column("workout_id", Uuid),
    Column("workout_order", SmallInteger, comment="Place of the exercise in the workout, from 1."),
    Column("policy", Text, nullable=False),
    Column("auto_apply", Boolean, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    Column("record", LargeBinary, nullable=False, comment="The ProgressionRule message."),
    _author(),
    PrimaryKeyConstraint("external_user_id", "id", name="progression_rules_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "workout_id"],
        ["training.workouts.external_user_id", "training.workouts.id"],
        name="progression_rules_workout_fkey",
    ),
    ForeignKeyConstraint(
        ["exercise_id"], ["training.exercises.id"], name="progression_rules_exercise_fkey"
    ),
    CheckConstraint(
        "(workout_id IS NULL) = (workout_order IS NULL)", name="progression_rules_slot_whole"
    ),
    Index(
        "progression_rules_exercise_key",
        "external_user_id",
        "exercise_id",
        unique=True,
        postgresql_where=text("workout_id IS NULL"),
    ),
    Index(
        "progression_rules_slot_key",
        "external_user_id",
        "workout_id",
        "workout_order",
        unique=True,
        postgresql_where=text("workout_id IS NOT NULL"),
    ),
    comment="How athletes want to progress. Where a rule stands is reckoned from sessions and kept "
    "nowhere.",
)

WELLNESS_RATINGS = ("sleep", "stress", "fatigue", "soreness")

wellness_entries = Table(
    "wellness_entries",
    metadata,
    Column("external_user_id", Uuid),
    Column("local_date", Date),
    Column("version", Integer, comment="From 1; the highest is current."),
    Column("time_zone", Text, nullable=False),
    *(Column(name, SmallInteger, nullable=False) for name in WELLNESS_RATINGS),
    Column("hrv_ms", Double, comment="RMSSD."),
    Column("resting_heart_rate_bpm", Double),
    Column("notes", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    _author(),
    PrimaryKeyConstraint("external_user_id", "local_date", "version", name="wellness_entries_pkey"),
    *(
        CheckConstraint(f"{name} BETWEEN 1 AND 7", name=f"wellness_entries_{name}_range")
        for name in WELLNESS_RATINGS
    ),
    comment="How athletes felt on their days, 1 the best to 7 the worst; append-only.",
)

training_phases = Table(
    "training_phases",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("parent_id", Uuid),
    Column("kind", Text, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False, comment="The day after the last."),
    Column("display_name", Text, nullable=False),
    Column("focus", Text, nullable=False),
    Column("volume_factors", ARRAY(Double), nullable=False, comment="Of its weeks."),
    Column("intensity_factors", ARRAY(Double), nullable=False, comment="Of its weeks."),
    Column("deload_weeks", ARRAY(SmallInteger), nullable=False, comment="From 1."),
    Column("day_emphases", TEXTS, nullable=False),
    Column("description", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    _author(),
    PrimaryKeyConstraint("external_user_id", "id", name="training_phases_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "parent_id"],
        ["training.training_phases.external_user_id", "training.training_phases.id"],
        name="training_phases_parent_fkey",
    ),
    CheckConstraint(
        "kind IN ('MACROCYCLE', 'MESOCYCLE', 'MICROCYCLE')", name="training_phases_kind"
    ),
    CheckConstraint("start_date < end_date", name="training_phases_dates"),
    CheckConstraint("parent_id <> id", name="training_phases_not_itself"),
    ExcludeConstraint(
        ("external_user_id", "="),
        # Those at the top are siblings too; NULL would equal nothing.
        (func.coalesce(column("parent_id"), literal_column(f"'{UUID(int=0)}'::uuid")), "="),
        (func.daterange(column("start_date"), column("end_date")), "&&"),
        using="gist",
        name="training_phases_overlap",
    ),
    comment="Macro-, meso- and microcycles; siblings never overlap.",
)

phase_calendars = Table(
    "phase_calendars",
    metadata,
    Column("external_user_id", Uuid),
    PrimaryKeyConstraint("external_user_id", name="phase_calendars_pkey"),
    comment="Athletes with phases. Who changes phases locks the row first.",
)

schedules = Table(
    "schedules",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("phase_id", Uuid, comment="Whose days it has; else it has its own."),
    Column("start_date", Date),
    Column("end_date", Date, comment="The day after the last."),
    Column("display_name", Text, nullable=False),
    Column("workout_ids", ARRAY(Uuid), nullable=False, comment="Of its slots; null is rest."),
    Column("weekdays", ARRAY(SmallInteger), nullable=False, comment="1 is Monday; none: rotation."),
    Column("missed_policy", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column(
        "version",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="Rises with each change; the etag.",
    ),
    Column("updated_at", TIMESTAMP, comment="Null until the first change."),
    _author(),
    PrimaryKeyConstraint("external_user_id", "id", name="schedules_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "phase_id"],
        ["training.training_phases.external_user_id", "training.training_phases.id"],
        name="schedules_phase_fkey",
        ondelete="CASCADE",
    ),
    CheckConstraint(
        "(phase_id IS NULL) = (start_date IS NOT NULL)"
        " AND (start_date IS NULL) = (end_date IS NULL)",
        name="schedules_dates_whole",
    ),
    CheckConstraint("start_date < end_date", name="schedules_dates"),
    CheckConstraint("missed_policy IN ('LET_GO', 'CARRY_OVER')", name="schedules_missed_policy"),
    Index("schedules_phase_idx", "external_user_id", "phase_id"),
    comment="Which workout is meant to be done on which day.",
)

schedule_changes = Table(
    "schedule_changes",
    metadata,
    Column("external_user_id", Uuid),
    Column("schedule_id", Uuid),
    Column("number", Integer, comment="Of the planned session."),
    Column("new_date", Date, comment="Null: called off."),
    Column("created_at", TIMESTAMP, nullable=False),
    _author(),
    PrimaryKeyConstraint("external_user_id", "schedule_id", "number", name="schedule_changes_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "schedule_id"],
        ["training.schedules.external_user_id", "training.schedules.id"],
        name="schedule_changes_schedule_fkey",
        ondelete="CASCADE",
    ),
    comment="Planned sessions that an athlete moved or called off.",
)

# Groups are shared data: each statement on them says who asks, and what they are in the group.
groups = Table(
    "groups",
    metadata,
    Column("id", Uuid),
    Column("group_external_id", Text, nullable=False, comment="What the platform calls it."),
    Column("display_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("id", name="groups_pkey"),
    CheckConstraint("kind IN ('TEAM', 'PRIVATE_COACHING')", name="groups_kind"),
    comment="Teams, and coaches with those whom they train alone. Who changes who is in one locks "
    "the row first.",
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Uuid),
    Column("member_user_id", Uuid),
    Column("role", Text, nullable=False),
    Column("sharing", TEXTS, nullable=False, comment="Names of Sharing."),
    Column("joined_at", TIMESTAMP, nullable=False, comment="Grants of before do not hold."),
    Column(
        "analytics_since",
        TIMESTAMP,
        comment="Since when ANALYTICS is shared without a break: weeks that began before leave the "
        "member out.",
    ),
    PrimaryKeyConstraint("group_id", "member_user_id", name="group_members_pkey"),
    ForeignKeyConstraint(
        ["group_id"],
        ["training.groups.id"],
        name="group_members_group_fkey",
        ondelete="CASCADE",
    ),
    CheckConstraint("role IN ('COACH', 'ASSISTANT', 'ATHLETE')", name="group_members_role"),
    CheckConstraint("role = 'ATHLETE' OR sharing = '{}'", name="group_members_sharing"),
    Index("group_members_user_idx", "member_user_id", "group_id"),
    comment="Who is in which group now, and as what.",
)

group_invitations = Table(
    "group_invitations",
    metadata,
    Column("id", Uuid),
    Column("group_id", Uuid, nullable=False),
    Column("invited_user_id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    Column("wanted_scopes", TEXTS, nullable=False, comment="Names of GrantScope."),
    Column("inviter_user_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("expires_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("id", name="group_invitations_pkey"),
    ForeignKeyConstraint(
        ["group_id"],
        ["training.groups.id"],
        name="group_invitations_group_fkey",
        ondelete="CASCADE",
    ),
    CheckConstraint("role IN ('COACH', 'ASSISTANT', 'ATHLETE')", name="group_invitations_role"),
    CheckConstraint(
        "state IN ('OPEN', 'ACCEPTED', 'DECLINED', 'WITHDRAWN')", name="group_invitations_state"
    ),
    Index("group_invitations_group_idx", "group_id", "id"),
    Index("group_invitations_user_idx", "invited_user_id", "id"),
    comment="Invitations into groups; those that were open when their time ended stay so.",
)

analytics_weeks = Table(
    "analytics_weeks",
    metadata,
    Column("start_date", Date),
    PrimaryKeyConstraint("start_date", name="analytics_weeks_pkey"),
    comment="Weeks of which a group published something. Who publishes locks the row first, so "
    "that groups which have athletes in common do it in turn.",
)

# Neither of the next two refers to groups or members: what was published is compared with what is
# to be, also when the group is deleted and its members are others.
group_weeks = Table(
    "group_weeks",
    metadata,
    Column("group_id", Uuid),
    Column("start_date", Date, comment="Monday."),
    Column(
        "record",
        LargeBinary,
        comment="The GroupTotals message as it was published; null when the week is withheld.",
    ),
    Column("decided_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("group_id", "start_date", name="group_weeks_pkey"),
    comment="What groups published of weeks, once for all.",
)

group_week_contributors = Table(
    "group_week_contributors",
    metadata,
    Column("group_id", Uuid),
    Column("start_date", Date),
    Column("member_user_id", Uuid),
    PrimaryKeyConstraint(
        "group_id", "start_date", "member_user_id", name="group_week_contributors_pkey"
    ),
    ForeignKeyConstraint(
        ["group_id", "start_date"],
        ["training.group_weeks.group_id", "training.group_weeks.start_date"],
        name="group_week_contributors_week_fkey",
    ),
    Index("group_week_contributors_user_idx", "member_user_id", "start_date"),
    comment="Whose weeks are in what was published. Of a week whose numbers were deleted with an "
    "athlete, those of the others.",
)

access_grants = Table(
    "access_grants",
    metadata,
    Column("external_user_id", Uuid, comment="The athlete who grants."),
    Column("id", Uuid),
    Column("grantee_user_id", Uuid),
    Column("group_id", Uuid, comment="Of a grant to a group; no longer there, it holds no more."),
    Column("scopes", TEXTS, nullable=False, comment="Names of GrantScope."),
    Column("expires_at", TIMESTAMP),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("revoked_at", TIMESTAMP),
    PrimaryKeyConstraint("external_user_id", "id", name="access_grants_pkey"),
    CheckConstraint("cardinality(scopes) > 0", name="access_grants_scopes"),
    CheckConstraint("num_nonnulls(grantee_user_id, group_id) = 1", name="access_grants_grantee"),
    Index("access_grants_grantee_idx", "external_user_id", "grantee_user_id"),
    Index("access_grants_to_user_idx", "grantee_user_id"),
    Index("access_grants_to_group_idx", "group_id"),
    comment="What athletes let others do; the policies of all their tables look here.",
)

access_log = Table(
    "access_log",
    metadata,
    Column("external_user_id", Uuid, comment="The athlete whose data it was."),
    Column("id", Uuid),
    Column("grant_id", Uuid, nullable=False),
    Column("grantee_user_id", Uuid, nullable=False),
    Column("rpc", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("call_id", Text, nullable=False, comment="Finds the call in the logs."),
    Column("accessed_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("external_user_id", "id", name="access_log_pkey"),
    ForeignKeyConstraint(
        ["external_user_id", "grant_id"],
        ["training.access_grants.external_user_id", "training.access_grants.id"],
        name="access_log_grant_fkey",
    ),
    comment="Uses of grants; only added to.",
)

assignments = Table(
    "assignments",
    metadata,
    Column("external_user_id", Uuid, comment="The athlete who was given a copy."),
    Column("id", Uuid),
    Column("kind", Text, nullable=False),
    Column("target_id", Uuid, nullable=False, comment="The copy: a workout, or the topmost phase."),
    Column("source_user_id", Uuid, nullable=False, comment="The coach."),
    Column("source_id", Uuid, nullable=False),
    Column("source_revision", Integer, nullable=False, comment="That was last given."),
    Column(
        "target_revision",
        Integer,
        nullable=False,
        comment="Of the copy when it was last given: one above it was changed since.",
    ),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    PrimaryKeyConstraint("external_user_id", "id", name="assignments_pkey"),
    CheckConstraint("kind IN ('WORKOUT', 'PHASE')", name="assignments_kind"),
    Index(
        "assignments_source_key",
        "external_user_id",
        "source_user_id",
        "source_id",
        unique=True,
        postgresql_where=text("kind = 'WORKOUT'"),
    ),
    comment="Whose workouts and phases athletes have copies of; of each workout one.",
)

goals = Table(
    "goals",
    metadata,
    Column("external_user_id", Uuid),
    Column("id", Uuid),
    Column("display_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("exercise_id", Uuid),
    Column(
        "target_value",
        Double,
        comment="By kind: repetitions, seconds, kilograms, body masses or sessions a week.",
    ),
    Column("min_reps", SmallInteger),
    Column("base_value", Double, comment="The current value at creation."),
    Column(
        "path",
        ARRAY(Uuid),
        nullable=False,
        comment="Exercises to pass for a skill, in order, as they were at creation.",
    ),
    Column("path_weights", ARRAY(Double), nullable=False),
    Column("created_date", Date, nullable=False, comment="Of the athlete."),
    Column("deadline", Date),
    Column("version", Integer, nullable=False, comment="Rises with each change; the etag."),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("updated_at", TIMESTAMP, nullable=False),
    Column("abandoned_at", TIMESTAMP),
    _author(),
    PrimaryKeyConstraint("external_user_id", "id", name="goals_pkey"),
    ForeignKeyConstraint(["exercise_id"], ["training.exercises.id"], name="goals_exercise_fkey"),
    CheckConstraint(
        "kind IN ('REPS', 'HOLD', 'LOAD', 'RELATIVE_STRENGTH', 'SKILL', 'FREQUENCY')",
        name="goals_kind",
    ),
    CheckConstraint("(kind = 'FREQUENCY') = (exercise_id IS NULL)", name="goals_exercise_whole"),
    CheckConstraint("(kind = 'SKILL') = (target_value IS NULL)", name="goals_target_whole"),
    CheckConstraint("target_value > 0", name="goals_target_range"),
    CheckConstraint("(kind = 'LOAD') = (min_reps IS NOT NULL)", name="goals_min_reps_whole"),
    CheckConstraint("min_reps BETWEEN 1 AND 20", name="goals_min_reps_range"),
    CheckConstraint("(kind = 'SKILL') = (cardinality(path) > 0)", name="goals_path_whole"),
    CheckConstraint("cardinality(path) = cardinality(path_weights)", name="goals_path_weights"),
    comment="What athletes want to reach. How far they are is reckoned when it is read.",
)
