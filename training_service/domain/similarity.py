"""How alike exercises are: vectors of what they are and of what they are trained with.

A vector is made of blocks, each of unit length times the root of its weight, so that the cosine of
two vectors is the mean of the cosines of their blocks by weight. The weights are our choice; no
study has tried them.

Exercises that are trained in the same sessions go together; those that go together with the same
others can stand in for one another. It is the latter that is looked at: rows of positive pointwise
mutual information (Church & Hanks 1990) in few dimensions, by a truncated singular value
decomposition (Levy & Goldberg 2014).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import exp, fsum, log, sqrt
from random import Random
from uuid import UUID

from training_service.domain.distribution import SECONDARY_WEIGHT
from training_service.domain.exercise import Exercise

FORMULA_VERSION = 1
"""Rises when vectors are made otherwise: those of before are then stale."""
ATTRIBUTE_DIMENSIONS = 240
"""Places for attributes; when there are more, some share one and are a little alike for it."""
FACTOR_DIMENSIONS = 16
DIMENSIONS = ATTRIBUTE_DIMENSIONS + FACTOR_DIMENSIONS

ATTRIBUTE_PERCENT = {
    "muscles": 35,
    "category": 15,
    "family": 15,
    "difficulty": 15,
    "movement": 10,
    "equipment": 10,
}
"""How much each block counts among attributes."""
COMPANY_PERCENT = 20
"""How much it counts what exercises are trained with, once that is known of any."""
MIN_ATHLETES = 5
"""A pair that fewer athletes trained together is not looked at: as with numbers of groups."""
DIFFICULTIES = range(1, 21)
DIFFICULTY_WIDTH = 2.0
"""Two exercises so many steps apart are alike in difficulty by exp(-1/4)."""
FLOOR = "NONE"
"""Stands for equipment where none is needed."""
RELATIVES = 5
"""What nobody trained is taken to keep the company of so many exercises most like it."""
ITERATIONS = 30
SEED = 20240229
NOTHING = 1e-9
"""A vector shorter than this has no direction."""

Vector = list[float]
Pairs = Mapping[tuple[UUID, UUID], int]
"""How many athletes trained two exercises in one session; each pair once, in any order."""


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """Returns the cosine of two vectors, -1 to 1; 0 when one has no direction."""
    lengths = sqrt(_dot(one, one) * _dot(other, other))
    return max(-1.0, min(_dot(one, other) / lengths, 1.0)) if lengths > NOTHING else 0.0


def vectors(exercises: Iterable[Exercise], pairs: Pairs) -> dict[UUID, Vector]:
    """Returns the unit vector of each exercise; of attributes alone where no pair is known."""
    attributes = attribute_vectors(exercises)
    factors = _filled(company_factors(pairs), attributes)
    share = COMPANY_PERCENT / 100 if factors else 0.0
    nowhere = [0.0] * FACTOR_DIMENSIONS
    return {
        id: _unit([*_times(sqrt(1 - share), one), *_times(sqrt(share), factors.get(id, nowhere))])
        for id, one in attributes.items()
    }


# Attributes.


def attribute_vectors(exercises: Iterable[Exercise]) -> dict[UUID, Vector]:
    """Returns what exercises are, as unit vectors."""
    weighed = {one.id: _weighed(one) for one in exercises}
    names = sorted({name for of in weighed.values() for name in of})
    places = {name: number % ATTRIBUTE_DIMENSIONS for number, name in enumerate(names)}
    return {id: _placed(of, places) for id, of in weighed.items()}


def _weighed(one: Exercise) -> dict[tuple[str, str], float]:
    """Returns the parts of an exercise by block and name; the whole is of unit length."""
    parts = {}
    for block, of in _blocks(one).items():
        factor = sqrt(ATTRIBUTE_PERCENT[block] / 100 / fsum(value**2 for value in of.values()))
        parts.update({(block, name): factor * value for name, value in of.items()})
    return parts


def _blocks(one: Exercise) -> dict[str, dict[str, float]]:
    sides = "ONE_SIDE" if one.unilateral else "BOTH_SIDES"
    return {
        "muscles": {
            **dict.fromkeys(one.secondary_muscles, SECONDARY_WEIGHT),
            **dict.fromkeys(one.primary_muscles, 1.0),
        },
        "category": {one.category: 1.0},
        # An exercise of no family is a family of its own.
        "family": {one.family or f"of {one.slug}": 1.0},
        "difficulty": {f"{step:02}": _nearness(one.difficulty - step) for step in DIFFICULTIES},
        "movement": {
            f"kind {one.movement_kind.value}": 1.0,
            f"emphasis {one.contraction_emphasis.value}": 1.0,
            sides: 1.0,
        },
        "equipment": dict.fromkeys(one.equipment or (FLOOR,), 1.0),
    }


def _nearness(steps: int) -> float:
    return exp(-(steps**2) / (2 * DIFFICULTY_WIDTH**2))


def _placed(
    parts: Mapping[tuple[str, str], float], places: Mapping[tuple[str, str], int]
) -> Vector:
    vector = [0.0] * ATTRIBUTE_DIMENSIONS
    for name in sorted(parts):
        vector[places[name]] += parts[name]
    return _unit(vector)


# Company: what exercises are trained with.


def positive_information(pairs: Pairs) -> dict[UUID, dict[UUID, float]]:
    """Returns max(0, log(n_ab N / (n_a n_b))) of each pair, in both directions, of the pairs that
    enough athletes trained; n_a sums n_ab over b, and N sums n_a (Church & Hanks 1990)."""
    kept = {pair: count for pair, count in pairs.items() if count >= MIN_ATHLETES}
    sums: dict[UUID, int] = defaultdict(int)
    for (one, other), count in kept.items():
        sums[one] += count
        sums[other] += count
    whole = sum(sums.values())
    rows: dict[UUID, dict[UUID, float]] = {id: {} for id in sorted(sums)}
    for (one, other), count in sorted(kept.items()):
        information = log(count * whole / (sums[one] * sums[other]))
        if one != other and information > 0:
            rows[one][other] = rows[other][one] = information
    return rows


def company_factors(pairs: Pairs) -> dict[UUID, Vector]:
    """Returns the rows of U S of the truncated singular value decomposition of positive
    information, up to a rotation, as unit vectors: those that have a direction.

    With an orthonormal basis Q of the space of the largest singular values, M Q is U S but for a
    rotation, which cosines do not see. Q is found by orthogonal iteration (Golub & Van Loan, Matrix
    Computations, 7.3), from the same start each time.
    """
    information = positive_information(pairs)
    ids = [*information]
    numbers = {id: number for number, id in enumerate(ids)}
    matrix = [[(numbers[other], value) for other, value in information[id].items()] for id in ids]
    chance = Random(SEED)  # noqa: S311  (a start, and no secret)
    count = min(FACTOR_DIMENSIONS, len(ids))
    basis = _orthonormal([[chance.random() - 0.5 for _ in ids] for _ in range(count)])
    for _ in range(ITERATIONS):
        basis = _orthonormal([_product(matrix, column) for column in basis])
    columns = [_product(matrix, column) for column in basis]
    columns += [[0.0] * len(ids)] * (FACTOR_DIMENSIONS - count)
    rows = {id: [column[number] for column in columns] for id, number in numbers.items()}
    return {id: _unit(row) for id, row in rows.items() if _length(row) > NOTHING}


def _product(matrix: Sequence[Sequence[tuple[int, float]]], column: Vector) -> Vector:
    return [sum(value * column[number] for number, value in row) for row in matrix]


def _orthonormal(columns: Sequence[Vector]) -> list[Vector]:
    """Returns columns made orthogonal and of unit length (Gram-Schmidt, twice for its rounding);
    one that depends on those before it becomes nothing."""
    found: list[Vector] = []
    for column in columns:
        rest = column
        for other in [*found, *found]:
            shared = _dot(rest, other)
            rest = [value - shared * along for value, along in zip(rest, other, strict=True)]
        left = _length(rest)
        found.append(_times(1 / left if left > NOTHING * _length(column) else 0.0, rest))
    return found


def _filled(
    factors: Mapping[UUID, Vector], attributes: Mapping[UUID, Vector]
) -> dict[UUID, Vector]:
    """Returns factors also of what has none: the mean of those most like it by attributes, by how
    like they are. Otherwise what nobody trained would be unlike all that somebody did."""
    known = {id: factors[id] for id in sorted(factors) if id in attributes}
    filled = dict(known)
    for id in attributes.keys() - known.keys() if known else ():
        mean = _mean_of_relatives(attributes[id], known, attributes)
        if _length(mean) > NOTHING:
            filled[id] = _unit(mean)
    return filled


def _mean_of_relatives(
    one: Vector, known: Mapping[UUID, Vector], attributes: Mapping[UUID, Vector]
) -> Vector:
    likeness = sorted((-_dot(one, attributes[id]), id) for id in known)[:RELATIVES]
    return [fsum(-less * known[id][n] for less, id in likeness) for n in range(FACTOR_DIMENSIONS)]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return fsum(a * b for a, b in zip(one, other, strict=True))


def _length(values: Iterable[float]) -> float:
    return sqrt(fsum(value**2 for value in values))


def _times(factor: float, vector: Sequence[float]) -> Vector:
    return [factor * value for value in vector]


def _unit(vector: Sequence[float]) -> Vector:
    """Returns a vector of unit length; one without a direction as it is."""
    length = _length(vector)
    return _times(1 / length, vector) if length > NOTHING else [*vector]
