"""The chain over an athlete's sessions, as it is stored (domain/session_chain.py)."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, bindparam, column, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Uuid

from training_service.domain.session_chain import Link, PlacedLink, block_digest
from training_service.domain.verification import ChainEnd
from training_service.storage.archive import RECORD
from training_service.storage.database import Transaction
from training_service.storage.statements import own, parameter, prepare, prepare_command
from training_service.storage.tables import session_chains, session_links, sessions

_CHAIN, _LINK = session_chains.c, session_links.c
_BLOCK = bindparam("block_digest", type_=LargeBinary)
_ONE = literal_column("1", Integer)

# The row of the athlete is locked until the end of the transaction: sessions take turns.
_EXTEND = prepare_command(
    insert(session_chains)
    .values(
        external_user_id=parameter("external_user_id", _CHAIN.external_user_id),
        length=_ONE,
        digest=func.sha256(_BLOCK),
    )
    .on_conflict_do_update(
        index_elements=["external_user_id"],
        set_={
            "length": _CHAIN.length + _ONE,
            "digest": func.sha256(_CHAIN.digest.concat(_BLOCK)),
        },
    )
)
_LINKS = (
    func.unnest(
        bindparam("session_ids", type_=ARRAY(Uuid)),
        bindparam("record_digests", type_=ARRAY(LargeBinary)),
    )
    .table_valued(
        column("session_id", Uuid),
        column("record_digest", LargeBinary),
        with_ordinality="position",
    )
    .render_derived("links")
)
_ADD = prepare_command(
    insert(session_links).from_select(
        ["external_user_id", "block", "position", "session_id", "record_digest"],
        select(
            _CHAIN.external_user_id,
            _CHAIN.length,
            _LINKS.c.position,
            _LINKS.c.session_id,
            _LINKS.c.record_digest,
        )
        .select_from(session_chains)
        .join(_LINKS, literal_column("true"))
        .where(own(session_chains)),
    )
)


async def append(transaction: Transaction, links: Sequence[Link]) -> None:
    """Queues that sessions are added to the athlete's chain, as one block."""
    if not links:
        return
    await transaction.execute(_EXTEND, {"block_digest": block_digest(links)})
    await transaction.execute(
        _ADD,
        {
            "session_ids": [link.session_id for link in links],
            "record_digests": [link.record_digest for link in links],
        },
    )


CHAIN = prepare(select(_CHAIN.length, _CHAIN.digest).where(own(session_chains)), ChainEnd)
LINKS = prepare(
    select(_LINK.block, _LINK.position, _LINK.session_id, _LINK.record_digest)
    .where(own(session_links))
    .order_by(_LINK.block, _LINK.position),
    lambda block, position, id, digest: PlacedLink(block, position, Link(id, digest)),
)

_IS_LINKED = exists().where(
    _LINK.external_user_id == sessions.c.external_user_id, _LINK.session_id == sessions.c.id
)
COUNT_UNLINKED = prepare(
    select(func.count()).select_from(sessions).where(~_IS_LINKED), lambda count: count
)
UNLINKED_ATHLETES = prepare(
    select(sessions.c.external_user_id).where(~_IS_LINKED).distinct().order_by("external_user_id"),
    lambda external_user_id: external_user_id,
)


class Unlinked(NamedTuple):
    """A session that is in no chain yet."""

    id: UUID
    record: bytes


UNLINKED = prepare(
    select(sessions.c.id, RECORD)
    .where(own(sessions), ~_IS_LINKED)
    .order_by(sessions.c.id)
    .limit(bindparam("limit", type_=Integer)),
    Unlinked,
)
