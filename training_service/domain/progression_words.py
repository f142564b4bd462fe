"""What happened on a track, in English."""

from collections.abc import Callable, Mapping

from training_service.domain.exercise import MovementKind
from training_service.domain.progression import Event
from training_service.domain.progression_policy import Rule
from training_service.domain.progression_track import Cause, EventKind, Numbers, Phase, State, Track

_CAUSES = {
    Cause.ALL_SETS_MET: "all sets were done as prescribed",
    Cause.WITHIN_RANGE: "not every set reached the end of the range",
    Cause.TOO_HARD: "all sets were done, at more effort than a success allows",
    Cause.AMOUNT_UNKNOWN: "it is not known how much was done in each set",
    Cause.SET_MISSING: "a set was missing",
    Cause.BELOW_RANGE: "a set was below the range",
    Cause.NOT_DONE: "the exercise was not done",
    Cause.ILL: "the athlete was ill",
    Cause.TECHNIQUE: "the session was for technique",
    Cause.LIGHTER: "it was done with less load than prescribed",
    Cause.HEAVIER: "it was done with more load than prescribed",
    Cause.DELOAD: "it was a deload",
    Cause.LIGHT_WEEK: "the phase asked for less load in this week",
    Cause.LOW_READINESS: "readiness was below 50 on the day",
    Cause.EFFORT: "repetitions in reserve were off the target",
    Cause.FOLLOWED: "the session followed what was proposed",
    Cause.SEVERAL_SUCCESSORS: "several exercises may follow",
    Cause.NOTHING_TO_RAISE: "there is no harder exercise, load or set to add",
    Cause.SCHEDULE: "it is the week for it",
    Cause.CONDITIONS: "several signs of the last days ask for it",
}
_OUTCOMES = {
    EventKind.SUCCESS: "Success",
    EventKind.HOLD: "Held",
    EventKind.FAIL: "Failure",
    EventKind.SKIP: "Not counted",
}


def reason(event: Event, rule: Rule, track: Track) -> str:
    """Returns what an event says to the athlete, such as "Load 20 kg → 22.5 kg: 1 success in a
    row"."""
    what = _OUTCOMES.get(event.kind) or _what(event, rule, track)
    if not event.is_applied and event.kind not in (EventKind.CHOICE, EventKind.TOP):
        what = f"Proposed: {what[0].lower()}{what[1:]}"
    return f"{what}: {_why(event)}"


def _why(event: Event) -> str:
    match event.cause:
        case Cause.SUCCESSES:
            return f"{_counted(event.amount, 'success', 'successes')} in a row"
        case Cause.FAILURES:
            return f"{_counted(event.amount, 'failure', 'failures')} in a row"
        case Cause.RESETS:
            return f"{_counted(event.amount, 'reset', 'resets')} of the load without success since"
        case Cause.NO_BEST:
            return f"no best in {_counted(event.amount, 'session', 'sessions')}"
    return _CAUSES[event.cause]


def _what(event: Event, rule: Rule, track: Track) -> str:
    return _WORDS[event.kind](event, rule, track)


def _load(event: Event, rule: Rule, track: Track) -> str:  # noqa: ARG001
    return f"Load {event.before.load_kg:g} kg → {event.after.load_kg:g} kg"


def _aim(event: Event, rule: Rule, track: Track) -> str:  # noqa: ARG001
    before, after = event.before, event.after
    return f"Aim {amount(before.aim, before, track)} → {amount(after.aim, after, track)}"


def _tempo(event: Event, rule: Rule, track: Track) -> str:  # noqa: ARG001
    before, after = event.before.tempo_index, event.after.tempo_index
    return f"Tempo {rule.tempos[before]} → {rule.tempos[after]}"


def _set_count(event: Event, rule: Rule, track: Track) -> str:  # noqa: ARG001
    return f"Sets {event.before.set_count} → {event.after.set_count}"


def _ease(event: Event, rule: Rule, track: Track) -> str:
    least = amount(event.after.low, event.after, track)
    return f"{_set_count(event, rule, track)}, at least {least} in each"


def _choice(event: Event, rule: Rule, track: Track) -> str:  # noqa: ARG001
    names = [track.rungs[id].name for id in event.candidate_ids]
    return f"Choose between {', '.join(names)}"


def _named(words: str) -> Callable[[Event, Rule, Track], str]:
    return lambda event, _, track: words.format(track.rungs[event.after.exercise_id].name)


_WORDS: Mapping[EventKind, Callable[[Event, Rule, Track], str]] = {
    EventKind.LOAD_UP: _load,
    EventKind.LOAD_DOWN: _load,
    EventKind.RESET: _load,
    EventKind.AMOUNT_UP: _aim,
    EventKind.AMOUNT_DOWN: _aim,
    EventKind.TEMPO_UP: _tempo,
    EventKind.SETS_UP: _set_count,
    EventKind.EASE: _ease,
    EventKind.ADVANCE: _named("On to {}"),
    EventKind.REGRESS: _named("Back to {}"),
    EventKind.CHOICE: _choice,
    EventKind.TOP: _named("{} stays as it is"),
    EventKind.ACCEPTED: lambda event, _, track: f"Accepted {_numbers(event.after, track)}",
    EventKind.STALL: _named("{} stalls; a deload or a variation may help"),
    EventKind.DELOAD_BEGIN: lambda *_: "Deload",
    EventKind.DELOAD_END: lambda *_: "End of the deload",
}


def amount(value: float, numbers: Numbers, track: Track) -> str:
    """Returns repetitions or seconds with their unit."""
    if track.rungs[numbers.exercise_id].kind is MovementKind.ISOMETRIC:
        return f"{value:g} s"
    return _counted(value, "repetition", "repetitions")


def _numbers(numbers: Numbers, track: Track) -> str:
    least, most = numbers.low, amount(numbers.high, numbers, track)
    range_ = most if least == numbers.high else f"{least:g} to {most}"
    load = f" with {numbers.load_kg:g} kg" if numbers.load_kg else ""
    name = track.rungs[numbers.exercise_id].name
    return f"{name}, {_counted(numbers.set_count, 'set', 'sets')} of {range_}{load}"


def outlook(state: State, rule: Rule) -> str:
    """Returns in English what the next session depends on."""
    if state.phase is Phase.DELOAD:
        return "Deload: half of the sets and nine tenths of the load"
    if not state.evaluated_count:
        return "The rule begins with these numbers: no session has counted yet"
    if state.fail_count:
        left = max(rule.fail_limit - state.fail_count, 0)
        return f"Again: {_counted(left, 'more failure', 'more failures')} would lower it"
    left = max(rule.successes_after(state.regress_count) - state.success_count, 0)
    return f"Again: {_counted(left, 'more success', 'more successes')} in a row would raise it"


def _counted(count: float, one: str, many: str) -> str:
    return f"{count:g} {one if count == 1 else many}"
