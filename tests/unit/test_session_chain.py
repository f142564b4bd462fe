"""The chain over an athlete's sessions: any change of it ends otherwise."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.session_chain import (
    Link,
    PlacedLink,
    block_digest,
    blocks_of,
    chain_digest,
)
from training_service.domain.verification import ChainEnd, FindingKind, check_chain, leads_to

ALICE = UUID(int=1)
LINKS = st.builds(Link.of, st.uuids(version=4), st.binary(max_size=5))
BLOCKS = st.lists(st.lists(LINKS, min_size=1, max_size=3), min_size=1, max_size=5)


def end_of(blocks: list[list[Link]]) -> ChainEnd:
    return ChainEnd(len(blocks), chain_digest(blocks))


def placed(blocks: list[list[Link]]) -> list[PlacedLink]:
    return [
        PlacedLink(block, position, link)
        for block, links in enumerate(blocks, start=1)
        for position, link in enumerate(links, start=1)
    ]


@given(BLOCKS, BLOCKS)
def test_other_blocks_have_another_end(one: list[list[Link]], other: list[list[Link]]) -> None:
    assert (chain_digest(one) == chain_digest(other)) == (one == other)


@given(BLOCKS, st.data())
def test_any_change_of_a_link_is_another_chain(
    blocks: list[list[Link]], data: st.DataObject
) -> None:
    end = end_of(blocks)
    assert leads_to(blocks, end)
    number = data.draw(st.integers(0, len(blocks) - 1))
    changed = [[*links] for links in blocks]
    link = changed[number][0]
    changed[number][0] = Link.of(link.session_id, link.record_digest + b"other")
    assert not leads_to(changed, end)
    assert not leads_to(blocks[:number] + blocks[number + 1 :], end)
    assert not leads_to([*blocks, blocks[number]], end)


@given(BLOCKS)
def test_links_make_the_blocks_they_came_from(blocks: list[list[Link]]) -> None:
    assert blocks_of(placed(blocks)) == blocks


def test_a_missing_place_is_no_chain() -> None:
    blocks = [[Link.of(UUID(int=n), b"")] for n in range(3)]
    whole = placed(blocks)
    assert blocks_of([]) == []
    assert blocks_of(whole[1:]) is None
    assert blocks_of([whole[0], whole[2]]) is None
    assert blocks_of([PlacedLink(1, 2, blocks[0][0])]) is None


def test_a_chain_by_hand() -> None:
    link = Link.of(UUID(int=5), b"record")
    assert chain_digest([]) == b""
    assert chain_digest([[link]]) != block_digest([link])


def test_what_is_wrong_with_a_chain_is_named() -> None:
    blocks = [[Link.of(UUID(int=n), b"")] for n in range(3)]
    ids = [UUID(int=n) for n in range(3)]
    assert check_chain(ALICE, placed(blocks), end_of(blocks), ids) == []

    def kinds(*arguments: object) -> list[FindingKind]:
        return [one.kind for one in check_chain(ALICE, *arguments)]  # type: ignore[arg-type]

    end = end_of(blocks)
    assert kinds(placed(blocks), end, ids[:2]) == [FindingKind.LINK_WITHOUT_SESSION]
    assert kinds(placed(blocks), end, [*ids, UUID(int=9)]) == [FindingKind.NOT_LINKED]
    assert kinds(placed(blocks), None, ids) == [FindingKind.CHAIN_BROKEN]
    assert kinds(placed(blocks[:2]), end, ids[:2]) == [FindingKind.CHAIN_BROKEN]
    assert kinds([], None, []) == []
    # Longer than at the last look it may be, and shorter or other it may not.
    assert kinds(placed(blocks), end, ids, end_of(blocks[:2])) == []
    assert kinds(placed(blocks[:2]), end_of(blocks[:2]), ids[:2], end) == [FindingKind.HEAD_DIFFERS]
    assert kinds(placed(blocks), end, ids, ChainEnd(2, b"other")) == [FindingKind.HEAD_DIFFERS]
