"""Batches of random changes keep HubSpot's rule after every request, in the fewest requests."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.limits.apply.batching import steps
from airflow_provider_hubassoc.limits.plan import Change
from tests.support.portal import HUBSPOT
from tests.support.random_portals import fewest_requests, valid_limits


@given(data=st.data(), strict=st.booleans())
def test_batches_keep_the_rule_in_the_fewest_requests(data: st.DataObject, strict: bool) -> None:
    names = ["", "a", "b", "c"]
    now, then = (data.draw(valid_limits(names, strict=strict)) for _ in range(2))
    changes = [make_change(not name, now[name], then[name], name) for name in names if now[name] != then[name]]
    found = steps(changes)
    assert len(found) == fewest_requests(changes)
    state = dict(now)
    for step in found:
        for is_done in product(*[(False, True)] * len(step.changes)):
            mixed = state | {
                change.label or "": change.target for done, change in zip(is_done, step.changes, strict=True) if done
            }
            object_limit = mixed[""]
            ends = (now, then)
            for name in names[1:]:
                label = mixed[name]
                is_unchanged_pair = any((label, object_limit) == (end[name], end[""]) for end in ends)
                assert object_limit is None or label is None or label < object_limit or is_unchanged_pair
        state |= {change.label or "": change.target for change in step.changes}
    assert state == then


def test_batches_worked_out_by_hand() -> None:
    """Check the oracle, too."""
    raised = [make_change(True, 5, 10), make_change(False, 3, 7), make_change(False, None, 4)]
    assert fewest_requests(raised) == 2
    assert [[change.target for change in step.changes] for step in steps(raised)] == [[10, 4], [7]]
    lowered = [
        make_change(True, 10, 5),
        make_change(False, 7, 3),
        make_change(False, 2, 4),
        make_change(False, 6, None),
    ]
    assert fewest_requests(lowered) == 3
    assert [[change.target for change in step.changes] for step in steps(lowered)] == [[None], [3], [5, 4]]
    assert [step.action for step in steps([make_change(True, None, 5), make_change(False, None, 5)])] == ["create"]


def make_change(unlabeled: bool, current: int | None, target: int | None, label: str = "") -> Change:
    action = "create" if current is None else "purge" if target is None else "update"
    return Change(
        action=action,
        from_object_type="contacts",
        to_object_type="companies",
        category=HUBSPOT,
        type_id=1,
        unlabeled=unlabeled,
        label=label or None,
        current=current,
        target=target,
    )
