"""What becomes of a workout that is given."""

import pytest

from training_service.domain.assignment import Copy, OnExisting, Outcome, outcome

CREATED, UPDATED, KEPT, KEPT_CHANGED, UNCHANGED = Outcome
SAME = Copy(source_revision=2, is_changed=False, is_deleted=False)
OTHER = Copy(source_revision=1, is_changed=False, is_deleted=False)
LATER = Copy(source_revision=3, is_changed=False, is_deleted=False)
CHANGED = Copy(source_revision=1, is_changed=True, is_deleted=False)
CHANGED_SAME = Copy(source_revision=2, is_changed=True, is_deleted=False)
DELETED = Copy(source_revision=2, is_changed=False, is_deleted=True)
CHANGED_DELETED = Copy(source_revision=2, is_changed=True, is_deleted=True)


@pytest.mark.parametrize(
    ("copy", "keep", "keep_unless_deleted", "update_unchanged", "overwrite"),
    [
        (None, CREATED, CREATED, CREATED, CREATED),
        (SAME, UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED),
        (OTHER, KEPT, KEPT, UPDATED, UPDATED),
        (LATER, KEPT, KEPT, UPDATED, UPDATED),
        (CHANGED, KEPT_CHANGED, KEPT_CHANGED, KEPT_CHANGED, UPDATED),
        (CHANGED_SAME, KEPT_CHANGED, KEPT_CHANGED, KEPT_CHANGED, UPDATED),
        (DELETED, KEPT_CHANGED, CREATED, KEPT_CHANGED, CREATED),
        (CHANGED_DELETED, KEPT_CHANGED, CREATED, KEPT_CHANGED, CREATED),
    ],
)
def test_what_becomes_of_a_copy(
    copy: Copy | None,
    keep: Outcome,
    keep_unless_deleted: Outcome,
    update_unchanged: Outcome,
    overwrite: Outcome,
) -> None:
    expected = [keep, keep_unless_deleted, update_unchanged, overwrite]
    assert [outcome(copy, 2, one) for one in OnExisting] == expected
