"""The programmes that come with the service, as data: one file for each.

A file has workouts with their exercises, and beside each exercise how it progresses;
docs/periodization.md says what the fields are. Here they become messages of the contract, so that
they are checked and stored as an athlete's own would be. Ids of workouts are made from their keys.
"""

import tomllib
from collections.abc import Iterator, Mapping
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
_OF_WORKOUT = (
    "sets",
    "rest_seconds",
    "target_rpe",
    "superset_group",
    "per_side",
    "notes",
)
"""Fields of an exercise that are those of a workout's as they are."""


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
    """Returns the programme of a file."""
    return _Reader(tomllib.loads(text), exercises).program()


class _Reader:
    """Reads one programme."""

    def __init__(self, source: dict[str, Any], exercises: Mapping[str, Exercise]) -> None:
        self._source = source
        self._exercises = exercises
        self._used: dict[str, Exercise] = {}
        self._keys = [workout["key"] for workout in source["workout"]]

    def program(self) -> pb.Program:
        source = self._source
        workouts = [self._workout(one) for one in source["workout"]]
        rules = [rule for one in source["workout"] for rule in self._rules(one)]
        difficulties = [one.difficulty for one in self._used.values()]
        return ParseDict(
            {
                "slug": source["slug"],
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
            raise ValueError(f"{self._source['slug']} has no workout {key}")
        return str(uuid5(NAMESPACE, f"{self._source['slug']}/{key}"))

    def _exercise(self, slug: str) -> Exercise:
        if slug not in self._exercises:
            raise ValueError(f"there is no exercise {slug}")
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
        message = {name: of[name] for name in _OF_WORKOUT if name in of}
        volume = self._volume(of)
        if of.get("goal") == "total":
            # A goal of all sets together: of each, its share.
            least, most = of["reps"]
            volume = {"reps": {"min": least // of["sets"], "max": -(-most // of["sets"])}}
        return {
            "exercise_id": str(self._exercise(of["exercise"]).id),
            "order": order,
            **message,
            **volume,
        }

    def _volume(self, of: dict[str, Any], default: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns what a set has, of an exercise or of a step of its ladder."""
        is_hold = self._exercise(of["exercise"]).movement_kind is MovementKind.ISOMETRIC
        name = "hold_seconds" if is_hold else "reps"
        least, most = of[name] if name in of else (default or {})[name]
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
        if "ladder" in of:
            steps = [
                {
                    "exercise_id": str(self._exercise(step["exercise"]).id),
                    "goal": {"set_count": of["sets"], **self._volume(step, of)},
                }
                for step in of["ladder"]
            ]
            return {"policy": {"ladder": {"steps": steps}}}
        rule: dict[str, Any] = {
            name: of[name] for name in ("policy", "loading", "tempos") if name in of
        }
        if "percent_wave" not in of["policy"]:
            rule["goal"] = {"set_count": of["sets"], **self._volume(of)}
        return rule

    def _schedule(self, of: dict[str, Any]) -> dict[str, Any]:
        message = {name: of[name] for name in ("missed_policy",) if name in of}
        message["display_name"] = self._source["display_name"]
        if "week" in of:
            slots = [
                {"weekday": slot["day"], "workout_id": self._workout_id(slot["workout"])}
                for slot in of["week"]
            ]
            return {**message, "weekly": {"slots": slots}}
        ids = [self._workout_id(key) if key else "" for key in of["rotation"]]
        return {**message, "rotation": {"workout_ids": ids}}
