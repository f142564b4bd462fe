"""The exercises that come with the service."""

import re
from collections import Counter
from collections.abc import Iterable

from calisthenics.training.v1 import exercise_pb2 as pb
from protovalidate import Validator

from training_service.catalogue import CATEGORIES, load_catalogue
from training_service.domain.exercise import ContractionEmphasis, MovementKind
from training_service.servicers.exercise import from_message, to_message

CATALOGUE = load_catalogue()


def repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def names_of(enum: object, prefix: str) -> set[str]:
    """Returns the names of a contract's enum without prefix, but for the unspecified one."""
    values = enum.DESCRIPTOR.values  # type: ignore[attr-defined]
    return {v.name.removeprefix(prefix) for v in values if v.number}


def test_it_has_249_exercises_and_309_edges() -> None:
    assert len(CATALOGUE) == 249
    assert sum(len(e.harder_ids) for e in CATALOGUE) == 309
    assert sum(len(e.easier_ids) for e in CATALOGUE) == 309


def test_slugs_ids_and_names_are_unique() -> None:
    assert repeated(e.slug for e in CATALOGUE) == []
    assert repeated(str(e.id) for e in CATALOGUE) == []
    assert repeated(e.display_name.casefold() for e in CATALOGUE) == []


def test_no_name_or_alias_means_two_exercises() -> None:
    # As a search sees them: in any case, with hyphens, blanks or neither.
    meanings = [
        (re.sub("[- ]", "", name.casefold()), e.slug)
        for e in CATALOGUE
        for name in (e.slug, e.display_name, *e.aliases)
    ]
    assert repeated(name for name, _ in set(meanings)) == []


def test_no_exercise_has_an_alias_twice() -> None:
    assert repeated(f"{e.slug}: {a.casefold()}" for e in CATALOGUE for a in e.aliases) == []


def test_every_enum_name_is_one_of_the_contract() -> None:
    equipment = names_of(pb.Equipment, "EQUIPMENT_") - {"NONE"}
    muscles = names_of(pb.Muscle, "MUSCLE_")
    assert {q for e in CATALOGUE for q in e.equipment} <= equipment
    assert {m for e in CATALOGUE for m in (*e.primary_muscles, *e.secondary_muscles)} <= muscles
    assert {e.category for e in CATALOGUE} == names_of(pb.ExerciseCategory, "EXERCISE_CATEGORY_")
    assert {e.movement_kind for e in CATALOGUE} == names_of(pb.MovementKind, "MOVEMENT_KIND_")
    emphases = names_of(pb.ContractionEmphasis, "CONTRACTION_EMPHASIS_")
    assert {e.contraction_emphasis for e in CATALOGUE} == emphases


def test_the_contract_s_kinds_are_those_of_the_domain() -> None:
    assert set(MovementKind) == names_of(pb.MovementKind, "MOVEMENT_KIND_")
    assert set(ContractionEmphasis) == names_of(pb.ContractionEmphasis, "CONTRACTION_EMPHASIS_")


def test_every_category_has_its_file() -> None:
    categories = names_of(pb.ExerciseCategory, "EXERCISE_CATEGORY_")
    assert {c.upper() for c in CATEGORIES} == categories


def test_every_exercise_keeps_the_rules_of_the_contract() -> None:
    validator = Validator()
    broken = {e.slug: validator.collect_violations(to_message(e)) for e in CATALOGUE}
    assert {slug: found for slug, found in broken.items() if found} == {}


def test_every_exercise_comes_through_the_contract_unchanged() -> None:
    assert [e.slug for e in CATALOGUE if from_message(to_message(e)) != e] == []


def test_a_hold_and_only_a_hold_contracts_isometrically() -> None:
    odd = [
        e.slug
        for e in CATALOGUE
        if (e.movement_kind is MovementKind.ISOMETRIC)
        != (e.contraction_emphasis is ContractionEmphasis.ISOMETRIC)
    ]
    assert odd == []


def test_a_negative_is_eccentric() -> None:
    negatives = [e for e in CATALOGUE if e.slug.endswith("-negative")]
    assert negatives
    assert {e.contraction_emphasis for e in negatives} == {ContractionEmphasis.ECCENTRIC}


def test_a_muscle_helps_or_does_the_main_work_but_not_both() -> None:
    both = [e.slug for e in CATALOGUE if {*e.primary_muscles} & {*e.secondary_muscles}]
    assert both == []


def test_every_exercise_is_described_and_named_more_than_once() -> None:
    assert [e.slug for e in CATALOGUE if not (e.description and e.cues and e.aliases)] == []


def test_every_edge_is_known_at_both_ends() -> None:
    forward = {(e.id, harder) for e in CATALOGUE for harder in e.harder_ids}
    backward = {(easier, e.id) for e in CATALOGUE for easier in e.easier_ids}
    assert forward == backward
    assert {id for edge in forward for id in edge} <= {e.id for e in CATALOGUE}


def test_one_exercise_alone_leads_nowhere_and_comes_from_nowhere() -> None:
    alone = [e.slug for e in CATALOGUE if not e.easier_ids and not e.harder_ids]
    assert alone == ["tibialis-raise"]
