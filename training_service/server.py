"""One server process: gRPC on a port, health from the database, and a quiet end."""

import asyncio
import gc
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from calisthenics.training.v1.adaptation_pb2_grpc import add_AdaptationServiceServicer_to_server
from calisthenics.training.v1.assignment_pb2_grpc import add_AssignmentServiceServicer_to_server
from calisthenics.training.v1.coaching_pb2_grpc import add_CoachingServiceServicer_to_server
from calisthenics.training.v1.exercise_pb2_grpc import add_ExerciseServiceServicer_to_server
from calisthenics.training.v1.form_pb2_grpc import add_FormServiceServicer_to_server
from calisthenics.training.v1.goal_pb2_grpc import add_GoalServiceServicer_to_server
from calisthenics.training.v1.governance_pb2_grpc import add_GovernanceServiceServicer_to_server
from calisthenics.training.v1.group_pb2_grpc import add_GroupServiceServicer_to_server
from calisthenics.training.v1.load_pb2_grpc import add_LoadServiceServicer_to_server
from calisthenics.training.v1.metrics_pb2_grpc import add_MetricsServiceServicer_to_server
from calisthenics.training.v1.phase_pb2_grpc import add_PhaseServiceServicer_to_server
from calisthenics.training.v1.prediction_pb2_grpc import add_PredictionServiceServicer_to_server
from calisthenics.training.v1.program_pb2_grpc import add_ProgramServiceServicer_to_server
from calisthenics.training.v1.progression_pb2_grpc import add_ProgressionServiceServicer_to_server
from calisthenics.training.v1.readiness_pb2_grpc import add_ReadinessServiceServicer_to_server
from calisthenics.training.v1.recommendation_pb2_grpc import (
    add_RecommendationServiceServicer_to_server,
)
from calisthenics.training.v1.roster_pb2_grpc import add_RosterServiceServicer_to_server
from calisthenics.training.v1.schedule_pb2_grpc import add_ScheduleServiceServicer_to_server
from calisthenics.training.v1.session_pb2_grpc import add_SessionServiceServicer_to_server
from calisthenics.training.v1.skill_pb2_grpc import add_SkillServiceServicer_to_server
from calisthenics.training.v1.team_pb2_grpc import add_TeamServiceServicer_to_server
from calisthenics.training.v1.workout_pb2_grpc import add_WorkoutServiceServicer_to_server
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from training_service import contract
from training_service.archive.store import open_store
from training_service.charts.render import ChartRenderer
from training_service.errors import TrainingError
from training_service.interceptors.abuse import AbuseSignals
from training_service.interceptors.audit import AccessLog, Auditor
from training_service.interceptors.chain import InterceptorChain
from training_service.interceptors.identity import make_authenticator
from training_service.interceptors.rate import Buckets, ProcessBuckets, SharedBuckets
from training_service.interceptors.telemetry import Telemetry
from training_service.logs import log_loop_error
from training_service.observability import scrape
from training_service.pseudonym import Pseudonyms
from training_service.sampler import Sampler
from training_service.servicers.adaptation import AdaptationServicer
from training_service.servicers.assignment import AssignmentServicer
from training_service.servicers.coaching import CoachingServicer
from training_service.servicers.exercise import ExerciseServicer
from training_service.servicers.expected_load import ExpectedLoadReader
from training_service.servicers.form import FormServicer
from training_service.servicers.goal import GoalServicer
from training_service.servicers.governance import GovernanceServicer
from training_service.servicers.group import GroupServicer
from training_service.servicers.load import LoadServicer
from training_service.servicers.load_outlook import OutlookReader
from training_service.servicers.load_pattern import LoadPatternReader
from training_service.servicers.metrics import MetricsServicer
from training_service.servicers.phase import PhaseServicer
from training_service.servicers.planned_session import PlannedSessionReader
from training_service.servicers.prediction import PredictionServicer
from training_service.servicers.program import ProgramServicer
from training_service.servicers.progression import ProgressionServicer
from training_service.servicers.progression_standing import StandingReader
from training_service.servicers.readiness import ReadinessServicer
from training_service.servicers.recommendation import RecommendationServicer
from training_service.servicers.roster import RosterServicer
from training_service.servicers.schedule import ScheduleServicer
from training_service.servicers.session import SessionServicer
from training_service.servicers.skill import SkillServicer
from training_service.servicers.skill_source import SkillSource
from training_service.servicers.team import TeamServicer
from training_service.servicers.workout import WorkoutServicer
from training_service.settings import PREFIX, Settings, SettingsError
from training_service.storage.archive import Archive
from training_service.storage.assignment import AssignmentRepository
from training_service.storage.audit import AuditRepository
from training_service.storage.database import Database
from training_service.storage.exercise import Catalogue, CatalogueVersion, ExerciseRepository
from training_service.storage.exercise_vector import ExerciseVectors
from training_service.storage.goal import GoalRepository
from training_service.storage.grant import GrantRepository
from training_service.storage.group import GroupRepository
from training_service.storage.health import database_revision, excess_privileges
from training_service.storage.leaderboard import LeaderboardRepository
from training_service.storage.load import LoadRepository
from training_service.storage.metrics import MetricsRepository
from training_service.storage.migrations import earlier_revisions, head_revision
from training_service.storage.personal_record import PersonalRecordRepository
from training_service.storage.phase import PhaseRepository
from training_service.storage.prediction import PredictionRepository
from training_service.storage.program import ProgramRepository
from training_service.storage.progression import ProgressionRepository
from training_service.storage.rate import RateBucketRepository
from training_service.storage.readiness import ReadinessRepository
from training_service.storage.recommendation import RecommendationRepository
from training_service.storage.replica import Analytics
from training_service.storage.roster import RosterRepository
from training_service.storage.schedule import ScheduleRepository
from training_service.storage.session import SessionRepository
from training_service.storage.session_change import SessionChangeRepository
from training_service.storage.session_export import SessionExportRepository
from training_service.storage.skill import SkillRepository
from training_service.storage.team import TeamRepository
from training_service.storage.user_export import UserExportRepository
from training_service.storage.wellness import WellnessRepository
from training_service.storage.workout import WorkoutRepository
from training_service.tls import server_credentials

if TYPE_CHECKING:
    from training_service.observability.instruments import Instruments
    from training_service.observability.tracing import Tracing

logger = structlog.get_logger(__name__)

MAX_METADATA_BYTES = 16 * 1024
KEEPALIVE_SECONDS = 60
"""A connection that does not answer a ping of this interval is closed: half-open ones go away."""
LEAST_PING_SECONDS = 10
"""Clients that ping more often than this are told to stop."""
ENVELOPE_BYTES = 1024 * 1024
"""How far a request may go beyond the limit and still get a worded answer rather than gRPC's."""
CANCEL_AGAIN_SECONDS = 0.5
GARBAGE_THRESHOLD = 10_000
"""How many more objects there must be before the garbage collector looks at the new ones; Python's
own 700 are made by a few calls."""

CHANNELZ = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class TrainingServer:
    """The service in this process. `start`, then `stop`."""

    def __init__(self, settings: Settings, url: str, *, is_worker: bool = False) -> None:
        """Makes a server; the metrics of a worker, one of several, are served elsewhere."""
        self._settings = settings
        self._is_worker = is_worker
        self._pseudonyms = Pseudonyms()
        self._database = Database(settings, url, self._pseudonyms)
        self._analytics = Analytics(settings, self._database)
        self._charts = ChartRenderer()
        self._health = health.aio.HealthServicer()
        self._expected_revision = head_revision()
        self._outdated_revisions = earlier_revisions(self._expected_revision)
        self._monitor: asyncio.Task[None] | None = None
        self._serving = asyncio.Event()
        self._has_checked_role = False
        self._grants = GrantRepository(self._database)
        self._access_log = AccessLog() if settings.access_log == "stdout" else None
        signals = AbuseSignals(self._pseudonyms, settings.abuse_threshold)
        auditor = Auditor(self._pseudonyms, AuditRepository(self._database), self._access_log)
        self._instruments = _instruments(settings)
        self._tracing = _tracing(settings)
        self._scraped = ExitStack()
        chain = InterceptorChain(
            settings,
            make_authenticator(settings),
            self._grants,
            self._buckets(),
            signals,
            auditor,
            Telemetry(self._instruments, self._tracing),
        )
        self._sampler: Sampler | None = None
        if self._instruments:
            self._sampler = Sampler(
                self._instruments, chain, self._database, signals, auditor, self._access_log
            )
        self._sampling: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(
            interceptors=[chain],
            options=_options(settings),
        )
        self._health_server = self._make_health_server()
        self._register()

    def _make_health_server(self) -> grpc.aio.Server | None:
        """Returns what serves health alone, None when nobody asks for it."""
        if not self._settings.health_address:
            return None
        server = grpc.aio.server(options=_options(self._settings))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        return server

    def _buckets(self) -> Buckets:
        if self._settings.rate_limit_store == "process":
            return ProcessBuckets()
        return SharedBuckets(RateBucketRepository(self._database), self._pseudonyms)

    def _register(self) -> None:
        version = CatalogueVersion(self._database)
        catalogue = Catalogue(self._database, version)
        vectors = ExerciseVectors(self._database, version)
        exercises = ExerciseServicer(
            ExerciseRepository(self._database, version), catalogue, vectors, version
        )
        templates = WorkoutRepository(self._database)
        workouts = WorkoutServicer(templates, catalogue)
        store = open_store(self._settings)
        archive = Archive(self._database, store)
        logged = SessionRepository(self._database, archive)
        sessions = SessionServicer(
            logged,
            SessionExportRepository(self._analytics, archive),
            SessionChangeRepository(self._database, archive),
            catalogue,
        )
        loaded = LoadRepository(self._database)
        series = LoadRepository(self._analytics)
        skill_source = SkillSource(SkillRepository(self._database), catalogue)
        metrics = MetricsServicer(
            logged,
            MetricsRepository(self._analytics),
            series,
            PersonalRecordRepository(self._analytics),
            catalogue,
            SkillSource(SkillRepository(self._analytics), catalogue),
            self._charts,
        )
        readiness_inputs = ReadinessRepository(loaded, archive)
        readiness = ReadinessServicer(
            WellnessRepository(self._database), readiness_inputs, catalogue
        )
        cycles = PhaseRepository(self._database)
        rules = ProgressionRepository(self._database, archive)
        standings = StandingReader(rules, cycles, catalogue)
        scheduled = ScheduleRepository(self._database)
        planned = PlannedSessionReader(scheduled, cycles, templates, rules, standings)
        expected = ExpectedLoadReader(loaded, catalogue)
        patterns = LoadPatternReader(series, catalogue)
        outlooks = OutlookReader(patterns, planned, expected, catalogue)
        loads = LoadServicer(series, patterns, outlooks)
        schedules = ScheduleServicer(scheduled, templates, planned)
        aims = GoalRepository(self._database)
        goals = GoalServicer(aims, catalogue, skill_source)
        progression = ProgressionServicer(rules, standings, catalogue)
        adaptations = AdaptationServicer(planned, scheduled, expected, readiness_inputs, catalogue)
        add_AdaptationServiceServicer_to_server(adaptations, self._server)
        add_ExerciseServiceServicer_to_server(exercises, self._server)
        add_WorkoutServiceServicer_to_server(workouts, self._server)
        add_SessionServiceServicer_to_server(sessions, self._server)
        add_MetricsServiceServicer_to_server(metrics, self._server)
        add_LoadServiceServicer_to_server(loads, self._server)
        add_ReadinessServiceServicer_to_server(readiness, self._server)
        add_SkillServiceServicer_to_server(SkillServicer(skill_source), self._server)
        add_PhaseServiceServicer_to_server(PhaseServicer(cycles), self._server)
        add_ScheduleServiceServicer_to_server(schedules, self._server)
        add_GoalServiceServicer_to_server(goals, self._server)
        add_ProgressionServiceServicer_to_server(progression, self._server)
        programs = ProgramServicer(
            ProgramRepository(self._database), templates, cycles, planned, catalogue
        )
        add_ProgramServiceServicer_to_server(programs, self._server)
        add_CoachingServiceServicer_to_server(CoachingServicer(self._grants), self._server)
        groups = GroupServicer(GroupRepository(self._database))
        add_GroupServiceServicer_to_server(groups, self._server)
        assignments = AssignmentServicer(
            AssignmentRepository(self._database),
            self._grants,
            templates,
            cycles,
            scheduled,
            catalogue,
        )
        add_AssignmentServiceServicer_to_server(assignments, self._server)
        teams = TeamServicer(
            TeamRepository(self._database), LeaderboardRepository(self._database), catalogue
        )
        add_TeamServiceServicer_to_server(teams, self._server)
        rosters = RosterServicer(
            RosterRepository(self._database, self._analytics), loaded, catalogue
        )
        add_RosterServiceServicer_to_server(rosters, self._server)
        add_FormServiceServicer_to_server(FormServicer(), self._server)
        recommendations = RecommendationServicer(
            RecommendationRepository(self._database, loaded, archive),
            aims,
            standings,
            catalogue,
            vectors,
            self._charts,
        )
        add_RecommendationServiceServicer_to_server(recommendations, self._server)
        predictions = PredictionServicer(
            PredictionRepository(self._database, archive), catalogue, self._settings.model_directory
        )
        add_PredictionServiceServicer_to_server(predictions, self._server)
        governance = GovernanceServicer(
            self._database,
            store,
            self._settings,
            UserExportRepository(self._analytics, archive),
        )
        add_GovernanceServiceServicer_to_server(governance, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if self._settings.reflection:
            channelz.add_channelz_servicer(self._server)
            tools = [health.SERVICE_NAME, reflection.SERVICE_NAME, CHANNELZ]
            reflection.enable_server_reflection([*self._service_names(), *tools], self._server)

    @staticmethod
    def _service_names() -> list[str]:
        return [service.full_name for service in contract.SERVICES]

    async def start(self) -> int:
        """Begins to listen, NOT_SERVING until the database is well; returns the port."""
        await self._set_health(NOT_SERVING)
        # Of itself: whether this process answers at all, whatever the database does.
        await self._health.set(health.SERVICE_NAME, SERVING)
        await self._database.open()
        await self._analytics.open()
        port = self._listen()
        self._begin_sampling()
        await self._server.start()
        if self._health_server:
            await self._health_server.start()
        self._monitor = asyncio.create_task(self._watch_database())
        return port

    def _begin_sampling(self) -> None:
        if self._sampler is None or self._instruments is None:
            return
        if not self._is_worker:
            self._scraped.enter_context(scrape.serving(self._settings, self._instruments.registry))
        self._sampling = asyncio.create_task(self._sampler.run())

    async def _end_sampling(self) -> None:
        if self._sampler is None:
            return
        if self._sampling is not None:
            self._sampling.cancel()
        self._sampler.sample()
        await asyncio.to_thread(self._scraped.close)

    def _listen(self) -> int:
        if self._health_server:
            _bind(self._health_server, "HEALTH_ADDRESS", self._settings.health_address, None)
        credentials = server_credentials(self._settings)
        return _bind(self._server, "LISTEN_ADDRESS", self._settings.listen_address, credentials)

    async def wait_until_serving(self) -> None:
        """Returns when the service first reports SERVING.

        Raises SettingsError when it never will, for the rights of its database role.
        """
        assert self._monitor is not None, "not started"
        serving = asyncio.create_task(self._serving.wait())
        await asyncio.wait([serving, self._monitor], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            serving.cancel()
            self._monitor.result()

    async def stop(self) -> None:
        """Reports NOT_SERVING, refuses new calls, and lets those under way finish in time."""
        while self._monitor and not self._monitor.done():
            # Before Python 3.12 asyncio.wait_for, which the pool waits with, may swallow one.
            self._monitor.cancel()
            await asyncio.wait([self._monitor], timeout=CANCEL_AGAIN_SECONDS)
        if self._sampler is not None:
            self._sampler.is_serving, self._sampler.is_draining = False, True
            self._sampler.sample()
        await self._health.enter_graceful_shutdown()
        if self._serving.is_set():
            await asyncio.sleep(self._settings.drain_delay_seconds)
        await self._server.stop(self._settings.grace_seconds)
        if self._health_server:
            await self._health_server.stop(None)
        await self._charts.close()
        await self._analytics.close()
        await self._database.close()
        if self._access_log:
            await asyncio.to_thread(self._access_log.close)
        await self._end_sampling()
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)

    async def _set_health(self, status: Any) -> None:
        for service in ("", *self._service_names()):
            await self._health.set(service, status)

    async def _watch_database(self) -> None:
        """Keeps health in step with the database."""
        was_well = None
        while True:
            trouble = await self._database_trouble()
            well = trouble is None
            if well != was_well:
                await self._set_health(SERVING if well else NOT_SERVING)
                logger.info("health", serving=well, why=trouble)
                was_well = well
                if self._sampler is not None:
                    self._sampler.is_serving = well
            if well:
                self._serving.set()
            await asyncio.sleep(self._settings.health_interval_seconds)

    async def _database_trouble(self) -> str | None:
        """Returns why the database can't be served from, None if it can.

        Raises SettingsError for a role with too many rights.
        """
        try:
            revision = await database_revision(self._database)
            if not self._has_checked_role:
                await self._check_role()
            is_outdated = revision is None or revision in self._outdated_revisions
            if not is_outdated:
                await self._database.pseudonyms()
        except SettingsError:
            raise
        except TrainingError as error:
            return error.message
        except Exception:
            logger.exception("health check failed")
            return "the health check failed"
        # A revision unknown here comes from a later version: it only added to the schema.
        if is_outdated:
            return f"the schema is at revision {revision}, {self._expected_revision} is needed"
        return None

    async def _check_role(self) -> None:
        excess = await excess_privileges(self._database)
        if excess:
            raise SettingsError(f"TRAINING_DATABASE_ROLE: {excess}")
        self._has_checked_role = True


def _bind(
    server: grpc.aio.Server, name: str, address: str, credentials: grpc.ServerCredentials | None
) -> int:
    """Makes a server listen where a setting says, and returns the port."""
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise SettingsError(f"{PREFIX}{name}: can't listen on {address}") from None


def _instruments(settings: Settings) -> "Instruments | None":
    """Returns the metrics, None when they are off: then their library is not loaded either."""
    if not settings.metrics_address:
        return None
    from training_service.observability.instruments import Instruments

    return Instruments()


def _tracing(settings: Settings) -> "Tracing | None":
    """The same for traces."""
    if not settings.otlp_endpoint:
        return None
    from training_service.observability.tracing import Tracing

    return Tracing(settings)


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        # Several workers share the port; a lone one must notice that it is taken.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.max_receive_message_length", settings.max_receive_bytes + ENVELOPE_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        # Those above the first number may be, those above the second are ended with CANCELLED, by
        # gRPC itself and so at little cost. Options it does not document: its own are 1,000 and
        # 3,000, more than can be answered before deadlines pass.
        ("grpc.server.max_pending_requests", settings.max_calls_waiting),
        ("grpc.server.max_pending_requests_hard_limit", settings.max_calls_waiting * 2),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_SECONDS * 1000),
        ("grpc.enable_channelz", int(settings.reflection)),
    ]


def _calm_garbage_collector() -> None:
    """Spares what was made at start-up, which stays, from being looked at again and again.

    What calls make is freed by reference counts; the few cycles among it can wait for more company.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


async def run(
    settings: Settings, url: str, on_ready: Callable[[int], None], *, is_worker: bool = False
) -> None:
    """Serves until SIGTERM or SIGINT; calls `on_ready` with the port when first SERVING."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = TrainingServer(settings, url, is_worker=is_worker)
    try:
        port = await server.start()
        ready = asyncio.create_task(server.wait_until_serving())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([ready, stopping], return_when=asyncio.FIRST_COMPLETED)
        _calm_garbage_collector()
        if ready.done():
            ready.result()
            on_ready(port)
        await stopping
        logger.info("draining")
    finally:
        await server.stop()
