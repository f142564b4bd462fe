"""Which rule of progression says what to do in which place of a workout."""

from collections.abc import Iterable

from calisthenics.training.v1 import progression_pb2, set_pb2, workout_pb2


class RuleBook:
    """An athlete's rules, by what they are for."""

    def __init__(self, rules: Iterable[progression_pb2.ProgressionRule]) -> None:
        self._of_places = {}
        self._of_exercises = {}
        for rule in rules:
            if rule.workout_id:
                self._of_places[rule.workout_id, rule.workout_order] = rule
            else:
                self._of_exercises[rule.exercise_id] = rule

    def of(
        self, workout_id: str, exercise: workout_pb2.WorkoutExercise
    ) -> progression_pb2.ProgressionRule | None:
        """Returns the rule of a place, else that of its exercise; None without one. Warm-ups have
        none."""
        if exercise.kind == set_pb2.SET_KIND_WARM_UP:
            return None
        of_place = self._of_places.get((workout_id, exercise.order))
        return of_place or self._of_exercises.get(exercise.exercise_id)

    def of_all(
        self, workouts: Iterable[workout_pb2.Workout]
    ) -> list[progression_pb2.ProgressionRule]:
        """Returns the rules of some workouts, each once."""
        found = (self.of(workout.id, one) for workout in workouts for one in workout.exercises)
        return list({rule.id: rule for rule in found if rule}.values())
