"""The exercises that come with the service, as data: one file for each category."""

import tomllib
from collections import defaultdict
from importlib import resources
from typing import Any
from uuid import UUID

from training_service.domain.exercise import (
    ContractionEmphasis,
    Exercise,
    MovementKind,
    check_progression,
    exercise_id,
)

CATEGORIES = ("push", "pull", "legs", "core", "skill")


def load_catalogue() -> list[Exercise]:
    """Reads the catalogue and checks its progression graph."""
    folder = resources.files(__name__)
    entries: list[dict[str, Any]] = []
    for category in CATEGORIES:
        file = tomllib.loads(folder.joinpath(f"{category}.toml").read_text(encoding="utf-8"))
        entries += [{**entry, "category": category.upper()} for entry in file["exercise"]]
    harder = {e["slug"]: [exercise_id(s) for s in e["progresses_to"]] for e in entries}
    easier: dict[UUID, list[UUID]] = defaultdict(list)
    for slug, targets in harder.items():
        for target in targets:
            easier[target].append(exercise_id(slug))
    exercises = [_exercise(e, easier[exercise_id(e["slug"])], harder[e["slug"]]) for e in entries]
    edges = [(e.id, target) for e in exercises for target in e.harder_ids]
    check_progression(edges, {e.id: e.difficulty for e in exercises})
    return exercises


def _exercise(entry: dict[str, Any], easier: list[UUID], harder: list[UUID]) -> Exercise:
    return Exercise(
        id=exercise_id(entry["slug"]),
        slug=entry["slug"],
        display_name=entry["name"],
        aliases=tuple(entry["aliases"]),
        category=entry["category"],
        family=entry["family"],
        difficulty=entry["difficulty"],
        movement_kind=MovementKind.ISOMETRIC if entry["isometric"] else MovementKind.DYNAMIC,
        contraction_emphasis=ContractionEmphasis(entry["contraction"].upper()),
        unilateral=entry["unilateral"],
        bodyweight_fraction=entry["bodyweight_fraction"],
        equipment=tuple(name.upper() for name in entry["equipment"]),
        primary_muscles=tuple(name.upper() for name in entry["primary_muscles"]),
        secondary_muscles=tuple(name.upper() for name in entry["secondary_muscles"]),
        description=entry["description"],
        cues=tuple(entry["cues"]),
        easier_ids=tuple(easier),
        harder_ids=tuple(harder),
    )
