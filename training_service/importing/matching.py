"""Finds the exercise of the catalogue that an app's name means."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

from calisthenics.training.v1 import exercise_pb2

from training_service.importing.formats import ImportedSession

APP_NAMES = {"triceps dip": "parallel-bar-dip", "ab wheel": "kneeling-ab-wheel"}
"""What the apps call an exercise for which the catalogue has no such name, by slug."""

LEAST_WORD_LIKENESS = 0.8
"""From here on two words are taken for one with a slip: "leaver" and "lever", not "seated" and
"elevated"."""

CLEAR_LEAD = 0.05
"""How much more alike the best exercise must be than the next, or neither is taken."""

MAX_QUERY_LENGTH = 100
"""What the service's search takes."""

_ASSISTED = "assisted"
_HELPERS = frozenset({_ASSISTED, "band", "machine"})

Search = Callable[[str], Sequence[exercise_pb2.Exercise]]
"""The service's own search, which forgives typing errors: best match first."""


class How(Enum):
    """By what a name was matched."""

    SLUG = "slug"
    NAME = "name"
    ALIAS = "alias"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True)
class Match:
    """The exercise a name means."""

    exercise: exercise_pb2.Exercise
    how: How


@dataclass(frozen=True, slots=True)
class AppExercise:
    """An exercise under an app's name; whether the file has a weight for any set of it."""

    name: str
    has_weight: bool

    @property
    def is_assisted(self) -> bool:
        """Whether its weight is what was taken off, not what was put on."""
        return is_assisted(self.name)


def is_assisted(name: str) -> bool:
    """Returns whether a name is that of an exercise done with help."""
    return _ASSISTED in _words(name)


def app_exercises(sessions: Iterable[ImportedSession]) -> list[AppExercise]:
    """Returns the exercises of a file, by name."""
    weights: dict[str, bool] = {}
    for session in sessions:
        for exercise in session.exercises:
            weighs = any(one.weight_kg is not None for one in exercise.sets)
            weights[exercise.name] = weights.get(exercise.name, False) or weighs
    return [AppExercise(name, weights[name]) for name in sorted(weights)]


class Matcher:
    """Matches names with a catalogue: by slug, display name and alias, then by likeness."""

    def __init__(self, catalogue: Sequence[exercise_pb2.Exercise], search: Search) -> None:
        self._search = search
        self._levels = [
            (How.SLUG, _index(catalogue, lambda e: [e.slug])),
            (How.NAME, _index(catalogue, lambda e: [e.display_name])),
            (How.ALIAS, _index(catalogue, lambda e: e.aliases)),
        ]

    def match(self, wanted: AppExercise) -> Match | None:
        """Returns the exercise meant; None when there is none, or more than one."""
        forms = list(_forms(wanted))
        for form in forms:
            if found := self._exact(form):
                return found
        return self._similar(forms[0])

    def _exact(self, words: Sequence[str]) -> Match | None:
        own_slug = _APP_SLUGS.get(_key(words))
        keys = [_key(words)] if own_slug is None else [_key(words), _key(_words(own_slug))]
        for key in keys:
            for how, index in self._levels:
                found = index.get(key, ())
                if len(found) == 1:
                    # A name of the apps' own is as good as an alias.
                    return Match(found[0], how if key == keys[0] else How.ALIAS)
        return None

    def _similar(self, words: Sequence[str]) -> Match | None:
        query = " ".join(words)[:MAX_QUERY_LENGTH]
        if not query:
            return None
        likeness = [(_likeness(words, exercise), exercise) for exercise in self._search(query)]
        likeness.sort(key=lambda pair: -pair[0])
        if not likeness or not likeness[0][0]:
            return None
        if len(likeness) > 1 and likeness[0][0] - likeness[1][0] < CLEAR_LEAD:
            return None
        return Match(likeness[0][1], How.SIMILAR)


def _index(
    catalogue: Iterable[exercise_pb2.Exercise],
    names: Callable[[exercise_pb2.Exercise], Iterable[str]],
) -> Mapping[str, Sequence[exercise_pb2.Exercise]]:
    index: dict[str, list[exercise_pb2.Exercise]] = {}
    for exercise in catalogue:
        for key in {_key(_words(name)) for name in names(exercise)}:
            index.setdefault(key, []).append(exercise)
    return index


def _forms(wanted: AppExercise) -> Iterator[list[str]]:
    """Yields the ways to read a name, as words: the most telling one first.

    "Squat (Bodyweight)" is a bodyweight squat. "Pull Up (Assisted)" with a weight is a pull-up with
    a negative load, which says how much help there was; without one it is an assisted pull-up.
    Nothing is left out that makes it another exercise: a squat with a barbell is none without.
    """
    inside = _words(" ".join(re.findall(r"\(([^)]*)\)", wanted.name)))
    outside = _words(re.sub(r"\([^)]*\)", " ", wanted.name))
    if wanted.is_assisted and wanted.has_weight:
        yield [word for word in outside + inside if word not in _HELPERS]
    elif inside == ["weighted"]:
        yield outside
    yield inside + outside
    if inside:
        yield _words(wanted.name)
        yield outside + inside
    if inside == ["bodyweight"]:
        yield outside


def _words(name: str) -> list[str]:
    """Returns the words of a name in lower case and in the singular."""
    plain = name.lower().replace("'", "").replace("’", "")
    return [_singular(word) for word in re.findall(r"[^\W_]+", plain)]


def _singular(word: str) -> str:
    plural = len(word) > 2 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _key(words: Iterable[str]) -> str:
    """Returns the words run together: "Pull-Up", "pull up" and "Pullups" are one."""
    return "".join(words)


_APP_SLUGS = {_key(_words(name)): slug for name, slug in APP_NAMES.items()}


def _likeness(words: Sequence[str], exercise: exercise_pb2.Exercise) -> float:
    """Returns how alike the words are to the exercise's best name, 0 to 1; 0 is another name."""
    names = (exercise.slug, exercise.display_name, *exercise.aliases)
    return max(_pairing(words, _words(name)) for name in names)


def _pairing(words: Sequence[str], others: Sequence[str]) -> float:
    """Pairs off words one to one, in any order; 0 when one has no partner."""
    if len(words) != len(others):
        return 0
    left = list(others)
    total = 0.0
    for word in words:
        alike, best = max((SequenceMatcher(None, word, other).ratio(), other) for other in left)
        if alike < LEAST_WORD_LIKENESS:
            return 0
        left.remove(best)
        total += alike
    return total / len(words)
