"""Sessions as the arithmetic sees them, and what they amount to as it is answered."""

from collections.abc import Mapping
from uuid import UUID

from calisthenics.training.v1 import metrics_pb2 as pb
from calisthenics.training.v1 import session_pb2, set_pb2

from training_service.domain import metrics as domain
from training_service.servicers.convert import exercise_uuid, optional_field
from training_service.servicers.enums import EnumNames
from training_service.storage.exercise import ExerciseFacts

INTENSITY_BASIS = EnumNames(pb.IntensityBasis)
LOAD_BASIS = EnumNames(pb.LoadBasis)
SIDES = {
    set_pb2.SIDE_UNSPECIFIED: domain.Side.BOTH,
    set_pb2.SIDE_LEFT: domain.Side.LEFT,
    set_pb2.SIDE_RIGHT: domain.Side.RIGHT,
}


def to_logged(
    session: session_pb2.Session, facts: Mapping[UUID, ExerciseFacts]
) -> domain.LoggedSession:
    """Returns what the arithmetic needs of a session as it was stored."""
    return domain.LoggedSession(
        performances=[
            domain.Performance(
                exercise=facts[exercise_uuid(exercise.exercise_id)].traits,
                sets=working_sets(exercise),
            )
            for exercise in session.exercises
        ],
        duration_seconds=optional_field(session, "duration_seconds"),
        session_rpe=optional_field(session, "session_rpe"),
        body_mass_kg=optional_field(session, "body_mass_kg"),
    )


def working_sets(exercise: session_pb2.SessionExercise) -> list[domain.WorkingSet]:
    """Returns the sets of an exercise that were to count."""
    return [_working_set(one) for one in exercise.sets if one.kind != set_pb2.SET_KIND_WARM_UP]


def _working_set(given: session_pb2.PerformedSet) -> domain.WorkingSet:
    reps = optional_field(given, "actual_reps")
    hold_seconds = optional_field(given, "actual_hold_seconds")
    is_done = reps is not None or hold_seconds is not None
    return domain.WorkingSet(
        is_done=given.completed if given.HasField("completed") else is_done,
        reps=reps,
        hold_seconds=hold_seconds,
        side=SIDES[given.side],
        external_load_kg=given.load_kg,
        rpe=_rpe(given),
        tempo=given.tempo,
        target=_target(given.target) if given.HasField("target") else None,
    )


def _rpe(given: session_pb2.PerformedSet) -> float | None:
    """Returns the effort as RPE: 10 less the repetitions in reserve (Zourdos 2016, Helms 2016)."""
    effort = given.WhichOneof("effort")
    if effort == "rir":
        return domain.MAX_RPE - given.rir
    return given.rpe if effort else None


def _target(given: set_pb2.SetTarget) -> domain.Target:
    volume = given.WhichOneof("volume")
    return domain.Target(
        reps=given.reps.min if volume == "reps" else None,
        hold_seconds=given.hold.min_seconds if volume == "hold" else None,
        tempo=given.tempo,
    )


def to_message(session: session_pb2.Session, logged: domain.LoggedSession) -> pb.SessionMetrics:
    """Returns the metrics of a session as they are answered."""
    metrics = domain.session_metrics(logged)
    return pb.SessionMetrics(
        session_id=session.id,
        external_user_id=session.external_user_id,
        local_date=session.local_date,
        set_count=metrics.set_count,
        exercises=[
            pb.ExerciseMetrics(
                exercise_id=exercise.exercise_id,
                set_count=of.set_count,
                volume=_volume(of.volume),
                **of.best._asdict(),
            )
            for exercise, of in zip(session.exercises, metrics.exercises, strict=True)
        ],
        volume=_volume(metrics.volume),
        skill_effective_reps=to_total(metrics.skill_effective_reps),
        strength_effective_reps=to_total(metrics.strength_effective_reps),
        core_effective_reps=to_total(metrics.core_effective_reps),
        intensity=metrics.intensity,
        intensity_basis=INTENSITY_BASIS.number(metrics.intensity_basis or "UNSPECIFIED"),
        load_au=metrics.load_au,
        load_basis=LOAD_BASIS.number(metrics.load_basis or "UNSPECIFIED"),
        effective_reps_per_minute=metrics.effective_reps_per_minute,
        volume_load_kg_per_minute=metrics.volume_load_kg_per_minute,
    )


def _volume(volume: domain.Volume) -> pb.VolumeMetrics:
    return pb.VolumeMetrics(
        reps=to_total(volume.reps),
        left_reps=volume.left_reps,
        right_reps=volume.right_reps,
        hold_seconds=to_total(volume.hold_seconds),
        dynamic_seconds=to_total(volume.dynamic_seconds),
        volume_load_kg=to_total(volume.volume_load_kg),
        external_volume_load_kg=to_total(volume.external_volume_load_kg),
        impulse_kg_seconds=to_total(volume.impulse_kg_seconds),
        effective_reps=to_total(volume.effective_reps),
        hard_sets=to_total(volume.hard_sets),
        planned_effective_reps=to_total(volume.planned_effective_reps),
        completion=volume.completion,
    )


def to_total(total: domain.Total) -> pb.Total:
    """Returns a sum as it is answered."""
    return pb.Total(value=total.value, coverage=total.coverage)
