"""PredictionService."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from calisthenics.training.v1 import prediction_pb2 as pb
from calisthenics.training.v1 import session_pb2
from calisthenics.training.v1.prediction_pb2_grpc import PredictionServiceServicer

from training_service.caller import athlete_scope
from training_service.domain.metrics import WorkingSet
from training_service.errors import Reason, bad_reference
from training_service.learning.artefact import Loaded, forecast, load_artefact
from training_service.learning.examples import upcoming_example
from training_service.learning.history import Occasion, occasion_of
from training_service.servicers.convert import exercise_uuid, from_date, to_date
from training_service.servicers.dates import day_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.session_metrics import working_sets
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.prediction import PredictionRepository

logger = structlog.get_logger(__name__)

SOURCE = EnumNames(pb.PredictionSource)


class PredictionServicer(PredictionServiceServicer):
    """What an athlete may be expected to do next."""

    def __init__(
        self, repository: PredictionRepository, catalogue: Catalogue, model_directory: Path | None
    ) -> None:
        self._repository = repository
        self._catalogue = catalogue
        self._model_directory = model_directory

    @cached_property
    def _loaded(self) -> Loaded:
        """The model, read when it is first asked for."""
        if self._model_directory is None:
            return Loaded(None, "no model is set")
        loaded = load_artefact(self._model_directory)
        if loaded.model is None:
            logger.warning("model not used", reason=loaded.reason)
        return loaded

    async def PredictNextSession(
        self, request: pb.PredictNextSessionRequest, context: Any
    ) -> pb.NextSessionPrediction:
        scope = athlete_scope(request.external_user_id)
        exercise_id, day = UUID(request.exercise_id), day_of(request)
        if not await self._catalogue.facts([exercise_id]):
            raise bad_reference(
                Reason.EXERCISE_NOT_FOUND, "exercise_id", "there is no such exercise"
            )
        records = await self._repository.records(scope, day)
        sessions = [session_pb2.Session.FromString(record) for record in records]
        ids = {exercise_uuid(of.exercise_id) for one in sessions for of in one.exercises}
        facts = await self._catalogue.facts(ids)
        occasions = [one for session in sessions for one in _occasions(session, facts)]
        example = upcoming_example(occasions, exercise_id, day)
        prediction = pb.NextSessionPrediction(
            external_user_id=str(scope.external_user_id),
            exercise_id=str(exercise_id),
            local_date=to_date(day),
            session_count=sum(one.exercise_id == exercise_id for one in occasions),
        )
        if example is not None:
            prediction.effective_reps, source = forecast(self._loaded, example)
            prediction.source = SOURCE.number(source.upper().replace(" ", "_"))
        return prediction


def _occasions(
    session: session_pb2.Session, facts: Mapping[UUID, ExerciseFacts]
) -> Iterator[Occasion]:
    """Yields what is known of each exercise of a session."""
    sets: dict[UUID, list[WorkingSet]] = defaultdict(list)
    for one in session.exercises:
        sets[exercise_uuid(one.exercise_id)] += working_sets(one)
    for id, of in sets.items():
        occasion = occasion_of(
            of,
            facts[id].traits,
            user_id=session.external_user_id,
            session_id=session.id,
            exercise_id=id,
            started_at=session.start_time.ToDatetime(UTC),
            day=from_date(session.local_date, "local_date"),
        )
        if occasion is not None:
            yield occasion
