"""LoadService."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from calisthenics.training.v1 import load_pb2 as pb
from calisthenics.training.v1.load_pb2_grpc import LoadServiceServicer

from training_service.caller import athlete_scope
from training_service.domain import paging
from training_service.domain.load import (
    CHRONIC_DAYS,
    DayStatus,
    Deviation,
    LoadUnit,
    Ratio,
    RatioMethod,
)
from training_service.domain.load_flag import Check, LoadFlag, Trigger
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import DateRange
from training_service.servicers.convert import to_date, utc_now
from training_service.servicers.dates import dates_of, day_of, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.load_outlook import OutlookDay, OutlookReader
from training_service.servicers.load_pattern import LoadPatternReader, days_before
from training_service.servicers.paging import date_of_token, listing_digest
from training_service.storage.load import LoadRepository

UNIT = EnumNames(pb.LoadUnit)
METHOD = EnumNames(pb.LoadRatioMethod)
BAND = EnumNames(pb.LoadBand)
WITHHELD = EnumNames(pb.LoadWithheldReason)
DEVIATION = EnumNames(pb.LoadDeviation)
TRIGGER = EnumNames(pb.LoadTriggerKind)
LEVEL = EnumNames(pb.LoadFlagLevel)
EXPECTED_BY = EnumNames(pb.ExpectedLoadBasis)

USUAL_OUTLOOK_DAYS = 14

NOTE = (
    "Describes your load pattern; it does not predict injury. Not validated for calisthenics: "
    "compare it with your own history, and let it forbid nothing."
)
WORDS = {
    Trigger.UNCOUPLED_RATIO: "Load a day in the last 7 days {was} {value:.2f} times that of the 21 "
    "days before.",
    Trigger.MONOTONY: "The last 7 days {were} much alike: their mean {is} {value:.1f} times their "
    "standard deviation.",
    Trigger.STRAIN: "Load times monotony of the last 7 days, {value:.0f}, {is} above "
    "{threshold:.0f}: nine in ten of the weeks before {were} below.",
    Trigger.WEEKLY_CHANGE: "Load of the last 7 days {was} {value:.0%} more than that of the 7 days "
    "before.",
    Trigger.RETURN_AFTER_BREAK: "The first day back after two weeks off or more {had} {value:.0%} "
    "of the load of an earlier week.",
    Trigger.STRAIGHT_ARM_HOLD: "Straight-arm holds of the last session with any, {value:.0f} s in "
    "all, {are} above {threshold:.0f} s, 1.3 times the most of a session in the 30 days before.",
}
ALL_ALIKE = "The last 7 days {were} all alike."
PAST = {"was": "was", "were": "were", "is": "is", "are": "are", "had": "had"}
"""The verbs of what happened, and of what would."""
AHEAD = {**dict.fromkeys(PAST, "would be"), "had": "would have"}


class LoadServicer(LoadServiceServicer):
    """Recent load beside usual load."""

    def __init__(
        self, loads: LoadRepository, patterns: LoadPatternReader, outlooks: OutlookReader
    ) -> None:
        self._loads = loads
        self._patterns = patterns
        self._outlooks = outlooks

    async def GetLoadStatus(self, request: pb.GetLoadStatusRequest, context: Any) -> pb.LoadStatus:
        scope = athlete_scope(request.external_user_id)
        unit = _unit(request)
        day = day_of(request)
        pattern = await self._patterns.read(scope, unit, day, day)
        history = pattern.history
        message = pb.LoadStatus(unit=UNIT.number(unit), note=NOTE)
        status = history.status(_deviation(request))
        if status is None or history.first_date is None:
            return message
        flag = await pattern.flag(history, status, pattern.holds)
        message.first_date.CopyFrom(to_date(history.first_date))
        message.day.CopyFrom(day_message(status, request.deviation))
        message.flag.CopyFrom(flag_message(flag))
        return message

    async def GetLoadOutlook(
        self, request: pb.GetLoadOutlookRequest, context: Any
    ) -> pb.LoadOutlook:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        dates = DateRange(today, today + timedelta(request.day_count or USUAL_OUTLOOK_DAYS))
        outlook = await self._outlooks.read(scope, dates, utc_now(), _deviation(request))
        message = pb.LoadOutlook(
            unit=pb.LOAD_UNIT_SESSION_RPE,
            days=[_outlook_day(day, request.deviation) for day in outlook.days],
            dates_without_basis=[to_date(d.local_date) for d in outlook.days if d.lacks_basis],
            note=NOTE,
        )
        if outlook.now:
            message.flag.CopyFrom(flag_message(outlook.now))
        if outlook.rise_date:
            message.rise_date.CopyFrom(to_date(outlook.rise_date))
        return message

    async def ListLoadSeries(
        self, request: pb.ListLoadSeriesRequest, context: Any
    ) -> pb.ListLoadSeriesResponse:
        scope = athlete_scope(request.external_user_id)
        unit = _unit(request)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str,))
        first, last = dates_of(request)
        last = min(last, today_of(request))
        limit = paging.page_limit(request.page_size)
        response = pb.ListLoadSeriesResponse(unit=UNIT.number(unit))
        first_date = await self._loads.first_date(scope)
        if first_date is None:
            return response
        first = max(date_of_token(key[0]) if key else first, first_date)
        end = _after(first, limit - 1)
        if first > last:
            return response
        history = await self._loads.history(
            scope, unit, days_before(first, CHRONIC_DAYS), min(end, last)
        )
        statuses = history.statuses(first, _deviation(request))
        response.days.extend(day_message(status, request.deviation) for status in statuses)
        if end < last:
            place = ((end + ONE_DAY).isoformat(),)
            response.next_page_token = paging.encode_page_token(listing, place)
        return response


def _after(day: date, days: int) -> date:
    return min(day, date.max - timedelta(days)) + timedelta(days)


def _unit(request: Any) -> LoadUnit:
    return LoadUnit(UNIT.name(request.unit or pb.LOAD_UNIT_SESSION_RPE))


def _deviation(request: Any) -> Deviation:
    return Deviation(DEVIATION.name(request.deviation or pb.LOAD_DEVIATION_SAMPLE))


def day_message(
    status: DayStatus, deviation: pb.LoadDeviation.ValueType = pb.LOAD_DEVIATION_SAMPLE
) -> pb.LoadDay:
    """Returns a day as it is answered."""
    coupled, uncoupled, exponential = (
        _ratio(status.ratio(method), status.coverage) for method in RatioMethod
    )
    monotony, week = status.monotony, status.week
    return pb.LoadDay(
        local_date=to_date(status.day.local_date),
        load=status.day.load,
        session_count=status.day.session_count,
        imputed_session_count=status.day.imputed_count,
        unknown_session_count=status.day.unknown_count,
        acwr=coupled,
        uncoupled_acwr=uncoupled,
        ewma_acwr=exponential,
        monotony=pb.LoadMonotony(
            value=monotony.value,
            strain=monotony.strain,
            withheld_reason=WITHHELD.number(monotony.withheld or "UNSPECIFIED"),
            deviation=deviation or pb.LOAD_DEVIATION_SAMPLE,
        ),
        week=pb.LoadWeekChange(
            load=week.load,
            previous_load=week.previous_load,
            change=week.change,
            withheld_reason=WITHHELD.number(week.withheld or "UNSPECIFIED"),
        ),
        fitness=status.levels.fitness,
        fatigue=status.levels.fatigue,
        form=status.form,
        ramp_rate=status.ramp_rate,
        quality=pb.LOAD_QUALITY_LOW if status.is_poor else pb.LOAD_QUALITY_GOOD,
        history_day_count=status.history_day_count,
        training_day_count=status.levels.training_day_count,
    )


def _ratio(ratio: Ratio, coverage: float) -> pb.LoadRatio:
    return pb.LoadRatio(
        method=METHOD.number(ratio.method),
        acute_load=ratio.acute,
        chronic_load=ratio.chronic,
        value=ratio.value,
        band=BAND.number(ratio.band or "UNSPECIFIED"),
        withheld_reason=WITHHELD.number(ratio.withheld or "UNSPECIFIED"),
        coverage=coverage,
    )


def _outlook_day(day: OutlookDay, deviation: pb.LoadDeviation.ValueType) -> pb.LoadOutlookDay:
    message = pb.LoadOutlookDay(
        local_date=to_date(day.local_date),
        sessions=[
            pb.ExpectedSession(
                schedule_id=one.session.schedule_id,
                number=one.session.number,
                workout_id=one.session.workout_id,
                load=one.load.load_au,
                basis=EXPECTED_BY.number(one.load.basis or "UNSPECIFIED"),
            )
            for one in day.sessions
        ],
        lacks_basis=day.lacks_basis,
    )
    if day.status and day.flag:
        message.day.CopyFrom(day_message(day.status, deviation))
        message.flag.CopyFrom(flag_message(day.flag, AHEAD))
    return message


def flag_message(flag: LoadFlag, verbs: Mapping[str, str] = PAST) -> pb.LoadFlag:
    """Returns a flag as it is answered."""
    return pb.LoadFlag(
        level=LEVEL.number(flag.level),
        points=flag.points,
        triggers=[_trigger(check, verbs) for check in flag.checks if check.points],
        unchecked=[
            pb.LoadUncheckedTrigger(
                kind=TRIGGER.number(check.trigger), reason=WITHHELD.number(check.withheld)
            )
            for check in flag.checks
            if check.withheld and not check.points
        ],
    )


def _trigger(check: Check, verbs: Mapping[str, str]) -> pb.LoadTrigger:
    words = ALL_ALIKE if check.value is None else WORDS[check.trigger]
    return pb.LoadTrigger(
        kind=TRIGGER.number(check.trigger),
        points=check.points,
        value=check.value,
        threshold=check.threshold,
        description=words.format(value=check.value, threshold=check.threshold, **verbs),
    )
