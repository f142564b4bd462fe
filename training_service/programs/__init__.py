"""The programmes that come with the service, as data: one file for each.

A file has workouts with their exercises, and beside each exercise how it progresses;
docs/periodization.md says what the fields are. Here they become messages of the contract, so that
they are checked and stored as an athlete's own would be. Ids of workouts are made from their keys.
"""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from typing import Any
from uuid import UUID, uuid5

from calisthenics.training.v1 import program_pb2 as pb
from google.protobuf.json_format import ParseDict

from training_service.catalogue import load_catalogue
from training_service.domain.exercise import Exercise, MovementKind

SLUGS = (
    "recommended-routine",
    "weighted-pull-dip-block",
    "handstand-skill-block",
    "undulating-three-day",
)
NAMESPACE = UUID("0f6c1f0e-6f3b-5a59-9d0c-6f0a6d7f6b1e")
_OF_PROGRAM = ("slug", "display_name", "summary", "focus", "phases", "schedule", "workout")
_OF_WORKOUT = ("key", "display_name", "description", "exercise")
_OF_PRESCRIPTION = ("sets", "rest_seconds", "target_rpe", "superset_group", "notes")
"""Fields of an exercise that are those of a workout's as they are."""
_OF_RULE = ("policy", "loading", "tempos")
"""Fields of an exercise that are those of a rule as they are."""
_VOLUMES = ("reps", "hold_seconds")
TOTAL = "total"


def load_programs() -> list[pb.Program]:
    """Reads the programmes. Raises ValueError or ParseError for what is no programme."""
    exercises = {exercise.slug: exercise for exercise in load_catalogue()}
    folder = resources.files(__name__)
    texts = [
        folder.joinpath(f"{slug.replace('-', '_')}.toml").read_text(encoding="utf-8")
        for slug in SLUGS
    ]
    return [read_program(text, exercises) for text in texts]


def read_program(text: str, exercises: Mapping[str, Exercise]) -> pb.Program:
    """Returns the programme of a file. Raises ValueError or ParseError for what is none."""
    return _Reader(tomllib.loads(text), exercises).program()


def _check_fields(
    table: Mapping[str, Any], name: str, needed: Collection[str], allowed: Collection[str] = ()
) -> None:
    """Refuses a table that lacks a field, or has one that nothing reads."""
    missing = [field for field in needed if field not in table]
    if missing:
        raise ValueError(f"{name} has no {missing[0]}")
    unknown = [field for field in table if field not in needed and field not in allowed]
    if unknown:
        raise ValueError(f"{name} has {unknown[0]}, which means nothing")


class _Reader:
    """Reads one programme."""

    def __init__(self, source: dict[str, Any], exercises: Mapping[str, Exercise]) -> None:
        _check_fields(source, source.get("slug", "a programme"), _OF_PROGRAM)
        self._source = source
        self._slug = source["slug"]
        self._exercises = exercises
        self._used: dict[str, Exercise] = {}
        for workout in source["workout"]:
            _check_fields(workout, f"a workout of {self._slug}", _OF_WORKOUT)
        self._keys = [workout["key"] for workout in source["workout"]]
        if len(set(self._keys)) < len(self._keys):
            raise ValueError(f"{self._slug} has two workouts of one key")

    def program(self) -> pb.Program:
        """Returns the programme."""
        source = self._source
        workouts = [self._workout(one) for one in source["workout"]]
        rules = [rule for one in source["workout"] for rule in self._rules(one)]
        difficulties = [one.difficulty for one in self._used.values()]
        return ParseDict(
            {
                "slug": self._slug,
                "display_name": source["display_name"],
                "summary": source["summary"],
                "focus": source["focus"],
                "min_difficulty": min(difficulties),
                "max_difficulty": max(difficulties),
                "equipment": sorted(
                    {f"EQUIPMENT_{item}" for one in self._used.values() for item in one.equipment}
                ),
                "phases": source["phases"],
                "workouts": workouts,
                "schedule": self._schedule(source["schedule"]),
                "rules": rules,
            },
            pb.Program(),
        )

    def _workout_id(self, key: str) -> str:
        if key not in self._keys:
            raise ValueError(f"{self._slug} has no workout {key}")
        return str(uuid5(NAMESPACE, f"{self._slug}/{key}"))

    def _exercise(self, slug: str) -> Exercise:
        if slug not in self._exercises:
            raise ValueError(f"{self._slug}: there is no exercise {slug}")
        self._used[slug] = self._exercises[slug]
        return self._exercises[slug]

    def _workout(self, of: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self._workout_id(of["key"]),
            "display_name": of["display_name"],
            "description": of["description"],
            "revision": 1,
            "exercises": [
                self._prescribed(one, order) for order, one in enumerate(of["exercise"], start=1)
            ],
        }

    def _prescribed(self, of: dict[str, Any], order: int) -> dict[str, Any]:
        allowed = {*_OF_PRESCRIPTION, *_OF_RULE, *_VOLUMES, "ladder", "choices", "goal"}
        _check_fields(of, f"an exercise of {self._slug}", ["exercise", "sets"], allowed)
        exercise = self._exercise(of["exercise"])
        volume = self._volume(of)
        if self._is_total(of):
            # A goal of all sets together: of each, its share.
            least, most = of["reps"]
            volume = {"reps": {"min": least // of["sets"], "max": -(-most // of["sets"])}}
        return {
            "exercise_id": str(exercise.id),
            "order": order,
            "per_side": exercise.unilateral,
            **{name: of[name] for name in _OF_PRESCRIPTION if name in of},
            **volume,
        }

    def _is_total(self, of: dict[str, Any]) -> bool:
        """Returns whether a range is of all sets together, as a rule of totals needs it."""
        is_total = of.get("goal") == TOTAL
        if ("goal" in of) != is_total or is_total != ("rep_sum" in of.get("policy", {})):
            raise ValueError(
                f'{self._slug}: {of["exercise"]} must have goal = "{TOTAL}" with rep_sum alone'
            )
        return is_total

    def _volume(self, of: dict[str, Any], default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns what a set has, of an exercise or of a step of its ladder, which may take its
        range from the exercise."""
        is_hold = self._exercise(of["exercise"]).movement_kind is MovementKind.ISOMETRIC
        name = "hold_seconds" if is_hold else "reps"
        own = [volume for volume in _VOLUMES if volume in of]
        source = of if own or default is None else default
        if name not in source or own not in ([], [name]):
            raise ValueError(f"{self._slug}: {of['exercise']} must have {name}")
        least, most = source[name]
        if is_hold:
            return {"hold": {"min_seconds": least, "max_seconds": most}}
        return {"reps": {"min": least, "max": most}}

    def _rules(self, workout: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for order, of in enumerate(workout["exercise"], start=1):
            place = {
                "exercise_id": str(self._exercise(of["exercise"]).id),
                "workout_id": self._workout_id(workout["key"]),
                "workout_order": order,
            }
            yield {**place, **self._progression(of)}

    def _progression(self, of: dict[str, Any]) -> dict[str, Any]:
        if ("ladder" in of) == ("policy" in of):
            raise ValueError(
                f"{self._slug}: {of['exercise']} must have either a ladder or a policy"
            )
        if "ladder" in of:
            return {"policy": {"ladder": {"steps": [self._step(one, of) for one in of["ladder"]]}}}
        rule: dict[str, Any] = {name: of[name] for name in _OF_RULE if name in of}
        rule["choices"] = [
            {
                "exercise_id": str(self._exercise(easier).id),
                "harder_exercise_id": str(self._exercise(harder).id),
            }
            for easier, harder in of.get("choices", {}).items()
        ]
        if "percent_wave" not in of["policy"]:
            rule["goal"] = {"set_count": of["sets"], **self._volume(of)}
        return rule

    def _step(self, step: dict[str, Any], of: dict[str, Any]) -> dict[str, Any]:
        """Returns a step of a ladder. All are done on one side at a time, or none: a workout says
        so of a place, and not of what is done there."""
        _check_fields(step, f"a ladder of {self._slug}", ["exercise"], _VOLUMES)
        exercise = self._exercise(step["exercise"])
        if exercise.unilateral != self._exercise(of["exercise"]).unilateral:
            raise ValueError(
                f"{self._slug}: {exercise.slug} and {of['exercise']} must both be for one side, or"
                " for both"
            )
        return {
            "exercise_id": str(exercise.id),
            "goal": {"set_count": of["sets"], **self._volume(step, of)},
        }

    def _schedule(self, of: dict[str, Any]) -> dict[str, Any]:
        name = f"the schedule of {self._slug}"
        message = {field: of[field] for field in ("missed_policy",) if field in of}
        message["display_name"] = self._source["display_name"]
        if "week" in of:
            _check_fields(of, name, ["week"], ["missed_policy"])
            slots = [
                {"weekday": slot["day"], "workout_id": self._workout_id(slot["workout"])}
                for slot in of["week"]
            ]
            return {**message, "weekly": {"slots": slots}}
        _check_fields(of, name, ["rotation"], ["missed_policy"])
        ids = [self._workout_id(key) if key else "" for key in of["rotation"]]
        return {**message, "rotation": {"workout_ids": ids}}
