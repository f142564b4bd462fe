"""A model of groups that one attacker leads: what they may be told, said by sets alone."""

from dataclasses import dataclass, field
from datetime import date

from hypothesis import strategies as st

from training_service.domain.team import MIN_ATHLETES, Overlap, may_publish, may_show

WEEK = date(2026, 3, 2)
ATHLETES = range(16)
GROUPS = range(4)


@dataclass
class World:
    """Groups that one attacker leads, and one week that is over. It keeps what storage would: who
    shares with which group since before the week, and the contributors of what was published."""

    sharing: dict[int, set[int]]
    published: dict[int, frozenset[int] | None] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    """Athletes of whom the attacker sees single numbers."""
    answers: set[frozenset[int]] = field(default_factory=set)
    """Sets of athletes whose sum the attacker was ever shown."""

    def overlap(self, here: frozenset[int], there: frozenset[int]) -> Overlap:
        return Overlap(WEEK, len(here & there), len(there), is_incomplete=False)

    def others(self, group: int, here: frozenset[int]) -> list[frozenset[int]]:
        found = (there for other, there in self.published.items() if there and other != group)
        return [there for there in found if there & here]

    def ask(self, group: int) -> frozenset[int] | None:
        """Returns whose sum is answered."""
        if group not in self.published and len(self.sharing[group]) >= MIN_ATHLETES:
            here = frozenset(self.sharing[group])
            overlaps = [self.overlap(here, there) for there in self.others(group, here)]
            self.published[group] = here if may_publish(len(here), overlaps) else None
        here = self.published.get(group) or frozenset()
        if not here or not may_show(self.unseen_counts(group, here)):
            return None
        self.answers.add(here)
        return here

    def unseen_counts(self, group: int, here: frozenset[int]) -> list[int]:
        parts = [here]
        for there in self.others(group, here):
            parts += [here - there, there - here]
        return [len(part - self.seen) for part in parts]

    def act(self, act: str, group: int, athlete: int) -> None:
        """Does a step: who begins to share now does so after the week began, so changes nothing of
        it; who withdraws, leaves or is removed does not count any more."""
        if act == "withdraw":
            self.sharing[group].discard(athlete)
        elif act == "delete":
            self.sharing[group].clear()
        self.ask(group)


worlds = st.builds(
    World,
    sharing=st.fixed_dictionaries(
        {group: st.sets(st.sampled_from(ATHLETES), min_size=4) for group in GROUPS}
    ),
    seen=st.sets(st.sampled_from(ATHLETES), max_size=12),
)
