"""Token buckets that all processes share."""

from typing import NamedTuple

from sqlalchemy import BindParameter, Double, bindparam, delete, func, literal_column
from sqlalchemy.dialects.postgresql import insert

from training_service.domain.rate import CostClass, Rate
from training_service.storage.database import Database
from training_service.storage.statements import Statement, parameter, prepare
from training_service.storage.tables import rate_buckets

_OF = rate_buckets.c


class Borrowed(NamedTuple):
    """What a bucket gave."""

    tokens: float
    """As many as it had, of those that were wanted."""
    full_at: float
    """When it will be full, in seconds since 1970."""


def _number(name: str) -> BindParameter[float]:
    return bindparam(name, type_=Double)


def _borrow() -> Statement[Borrowed]:
    """Returns `domain.rate.take` for as many whole tokens as there are, in one statement: two
    processes that ask at once are given one after the other."""
    now, wanted, per_second = _number("now"), _number("wanted"), _number("per_second")
    begin = func.greatest(_OF.full_at_seconds, now)
    present = _number("burst") - (begin - now) * per_second
    # The same rounding as there, in tokens.
    whole = func.floor(present + literal_column("1e-6", Double))
    given = func.greatest(literal_column("0", Double), func.least(wanted, whole))
    statement = insert(rate_buckets).values(
        caller=parameter("caller", _OF.caller),
        cost_class=parameter("cost_class", _OF.cost_class),
        tokens_given=wanted,
        full_at_seconds=now + wanted / per_second,
    )
    return prepare(
        statement.on_conflict_do_update(
            index_elements=[_OF.caller, _OF.cost_class],
            set_={"tokens_given": given, "full_at_seconds": begin + given / per_second},
        ).returning(_OF.tokens_given, _OF.full_at_seconds),
        Borrowed,
    )


_BORROW = _borrow()
_FORGET = prepare(
    delete(rate_buckets).where(_OF.full_at_seconds < _number("now")).returning(_OF.caller), str
)


class RateBucketRepository:
    """The buckets of all callers. Each call is a statement of its own, in one round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def borrow(
        self, caller: str, cost: CostClass, rate: Rate, now: float, wanted: float
    ) -> Borrowed:
        """Takes up to `wanted` tokens, which are no more than the bucket holds, for who has a
        pseudonym. `now` is in seconds since 1970, by the clock of the process.

        Raises TrainingError when the database does not answer.
        """
        parameters = {
            "caller": caller,
            "cost_class": cost.value,
            "now": now,
            "wanted": float(wanted),
            "per_second": float(rate.per_second),
            "burst": float(rate.burst),
        }
        [borrowed] = await self._database.read_shared(_BORROW, parameters)
        return borrowed

    async def forget(self, now: float) -> int:
        """Removes the buckets that are full, and returns how many there were."""
        return len(await self._database.read_shared(_FORGET, {"now": now}))
