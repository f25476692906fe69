"""Judge HubSpot's answers: no success without evidence, and no failure if HubSpot did the work."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotOperationError
from airflow_provider_hubassoc.hubspot.models import AssociationLimit, BatchAnswer, BatchStatus, LimitInput
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError
from airflow_provider_hubassoc.limits.operation_text import describe

A = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 5}
B = {"category": "USER_DEFINED", "typeId": 35, "maxToObjectIds": 3}

ABOUT_A = {
    "message": "0-279 is not a valid association type between CONTACT and COMPANY",
    "category": "VALIDATION_ERROR",
}
ABOUT_B = {"message": "Refused", "subCategory": "x.Y", "context": {"type": ["1-35"]}}
ABOUT_NO_INPUT = {"message": "Something went wrong", "context": None}


def operation(*inputs: dict[str, Any], action: str = "update", **fields: Any) -> BatchOperation:
    if action == "purge":
        inputs = tuple({key: limit_input[key] for key in ("category", "typeId")} for limit_input in inputs)
    return BatchOperation.from_dict(
        {"action": action, "from_object_type": "0-1", "to_object_type": "companies", "inputs": list(inputs), **fields}
    )


def result(each: dict[str, Any], **change: Any) -> dict[str, Any]:
    row = {"category": each["category"], "typeId": each["typeId"]}
    return row | {"userEnforcedMaxToObjectIds": each["maxToObjectIds"], "label": None} | change


def answer(**fields: Any) -> BatchAnswer:
    return BatchAnswer.model_validate({"status": "COMPLETE", **fields})


def limits(*rows: dict[str, Any]) -> list[AssociationLimit]:
    return [AssociationLimit.model_validate(row) for row in rows]


RESULTS = {
    "none": [],
    "A": [result(A)],
    "B": [result(B)],
    "A and B": [result(B), result(A)],
    "A twice": [result(A), result(A)],
    "A twice, in contradiction": [result(A), result(B), result(A, userEnforcedMaxToObjectIds=4)],
    "A with another limit": [result(A, userEnforcedMaxToObjectIds=4), result(B)],
    "A without a limit": [result(A, userEnforcedMaxToObjectIds=None), result(B)],
    "the type of another category": [result(A, category="USER_DEFINED"), result(B)],
    "one never asked for": [result(A), result(B), result(A, typeId=1)],
}
ERRORS: dict[str, dict[str, Any]] = {
    "none": {},
    "null": {"errors": None, "numErrors": None},
    "about A": {"errors": [ABOUT_A], "numErrors": 1},
    "about B": {"errors": [ABOUT_B]},
    "about A and B": {"errors": [ABOUT_A, ABOUT_B], "numErrors": 2},
    "about no input": {"errors": [ABOUT_NO_INPUT]},
    "only a number": {"numErrors": 1},
}


@pytest.mark.parametrize("action", ["create", "update", "purge"])
@pytest.mark.parametrize("status", list(BatchStatus))
@pytest.mark.parametrize("errors", ERRORS)
def test_every_answer_is_judged_by_its_content(status: BatchStatus, errors: str, action: str) -> None:
    for results, verify in itertools.product(RESULTS, [False, True]):
        judge(status, errors, results, action, verify)


def judge(status: BatchStatus, errors: str, results: str, action: str, verify: bool) -> None:
    judged = operation(A, B, action=action, verify=verify).with_answer(
        answer(status=status.value, results=RESULTS[results], **ERRORS[errors])
    )
    reported = set()
    for limit_input in judged.inputs:
        rows = [row for row in RESULTS[results] if (row["category"], row["typeId"]) == limit_input.identity]
        limits_reported = {row["userEnforcedMaxToObjectIds"] for row in rows}
        if rows and (action == "purge" or limits_reported == {limit_input.max_to_object_ids}):
            reported.add(limit_input.type_id)
    is_clean = errors in ("none", "null")
    if action == "purge" and status is BatchStatus.COMPLETE and is_clean:
        reported = {279, 35}
    named = {"about A": {279}, "about B": {35}, "about A and B": {279, 35}}.get(errors, set())

    everything_done = status is BatchStatus.COMPLETE and is_clean and reported == {279, 35}
    assert judged.has_succeeded is (everything_done and not verify)
    if status is BatchStatus.CANCELED:
        assert judged.has_failed
    elif status is BatchStatus.COMPLETE:
        assert judged.has_failed is not is_clean
    else:
        assert judged.has_failed is (bool(named - reported) and reported | named == {279, 35})
    assert judged.is_over is (judged.has_succeeded or judged.has_failed)

    assert {limit_input.type_id for limit_input in judged.applied} == reported
    refused = {limit_input.type_id: errors for limit_input, errors in judged.refused}
    assert not reported & set(refused)
    assert named - reported <= set(refused)
    if status is BatchStatus.CANCELED:
        assert reported | set(refused) == {279, 35}
    unconfirmed = {limit_input.type_id for limit_input in judged.unconfirmed}
    assert reported | set(refused) | unconfirmed == {279, 35}
    assert not unconfirmed & (reported | set(refused))

    assert BatchOperation.from_dict(json.loads(json.dumps(judged.to_dict()))) == judged
    if judged.has_failed:
        with pytest.raises(HubSpotOperationError) as failure:
            judged.raise_for_failure()
        assert failure.value.operation == judged.to_dict()
        assert not failure.value.retryable
        for limit_input in judged.inputs:
            assert describe(limit_input) in str(failure.value)
    else:
        judged.raise_for_failure()

    # Whatever the answer was, a read that shows everything in force settles it. Any other read proves nothing.
    in_force = limits() if action == "purge" else limits(result(A), result(B))
    settled = judged.with_limits(in_force)
    assert settled.has_succeeded
    assert not settled.has_failed
    assert settled.status is BatchStatus.COMPLETE
    half = judged.with_limits(limits(result(B)) if action == "purge" else in_force[:1])  # shows A as asked for
    everything_known = status is BatchStatus.COMPLETE and is_clean and reported | {279} == {279, 35}
    assert half.has_succeeded is (everything_known and not verify)
    assert half.status is status
    assert BatchOperation.from_dict(json.loads(json.dumps(half.to_dict()))) == half


def test_null_in_a_read_means_no_limit() -> None:
    purge = operation(A, B, action="purge").with_answer(answer(status="PENDING"))
    assert purge.with_limits(limits(result(A, userEnforcedMaxToObjectIds=None))).has_succeeded
    assert not purge.with_limits(limits(result(A))).is_over
    update = operation(A).with_answer(answer(status="PENDING"))
    assert not update.with_limits(limits(result(A, userEnforcedMaxToObjectIds=None))).is_over
    assert not update.with_limits(limits(result(A, userEnforcedMaxToObjectIds=6))).is_over


def test_a_failure_names_the_outcome_of_every_input() -> None:
    judged = operation(A, B, action="create").with_answer(
        answer(status="COMPLETE", results=[result(B)], errors=[ABOUT_A], numErrors=1, correlationId="c-9")
    )
    with pytest.raises(HubSpotOperationError) as failure:
        judged.raise_for_failure()
    assert str(failure.value) == (
        "HubSpot refused part of the create batch for contacts -> companies: 1 of 2 applied.\n"
        "Refused HUBSPOT_DEFINED 279 (max 5): 0-279 is not a valid association type between CONTACT and COMPANY"
        " [VALIDATION_ERROR].\n"
        "Applied USER_DEFINED 35 (max 3).\n"
        "Correct the refused inputs and send them again. (category VALIDATION_ERROR, correlation id c-9)"
    )


def test_a_captured_cancellation() -> None:
    """HubSpot's published answer to an unknown type, whose context names another one than its message."""
    judged = operation({**A, "typeId": 1}, action="create").with_answer(
        answer(
            status="CANCELED",
            results=[],
            numErrors=1,
            errors=[
                {
                    "status": "error",
                    "category": "VALIDATION_ERROR",
                    "subCategory": "crm.associations.INVALID_ASSOCIATION_TYPE",
                    "message": "0--1 is not a valid association type between CONTACT and DEAL",
                    "context": {"type": ["0-5"], "fromObjectType": ["CONTACT"], "toObjectType": ["DEAL"]},
                }
            ],
        )
    )
    ((limit_input, errors),) = judged.refused
    assert limit_input.type_id == 1
    assert errors[0].sub_category == "crm.associations.INVALID_ASSOCIATION_TYPE"


def test_a_failure_has_the_categories_of_the_first_error() -> None:
    first = {**ABOUT_A, "subCategory": "crm.associations.FIRST"}
    judged = operation(A, B).with_answer(answer(status="CANCELED", errors=[first, {"category": "OTHER"}]))
    with pytest.raises(HubSpotOperationError) as failure:
        judged.raise_for_failure()
    assert (failure.value.category, failure.value.sub_category) == ("VALIDATION_ERROR", "crm.associations.FIRST")


def test_an_error_is_reported_only_for_the_input_it_names() -> None:
    same_id = {**A, "category": "USER_DEFINED"}
    judged = operation(A, same_id).with_answer(answer(status="CANCELED", errors=[ABOUT_A]))
    assert [[error.message for error in errors] for _, errors in judged.refused] == [[ABOUT_A["message"]], []]


def test_a_long_message_is_shortened() -> None:
    judged = operation(A).with_answer(answer(status="CANCELED", errors=[{"message": "0-" + "9" * 100_000}]))
    with pytest.raises(HubSpotOperationError) as failure:
        judged.raise_for_failure()
    assert len(str(failure.value)) < 1_000


# -- links --


@pytest.mark.parametrize(
    ("links", "link"),
    [
        ({}, None),
        (None, None),
        ({"status": "u"}, "u"),
        ({"Self": "u"}, "u"),
        ({"self": "v", "STATUS": "u"}, "u"),
        ({"docs": "u"}, None),
        ({"status": None, "self": 5}, None),
    ],
)
def test_only_links_to_the_state_are_kept(links: Any, link: str | None) -> None:
    assert operation(A).with_answer(answer(status="PENDING", links=links)).link_to_read == link


def test_a_status_link_is_kept_until_the_batch_is_terminal() -> None:
    judged = operation(A).with_answer(answer(status="PENDING", links={"status": "u"}))
    judged = judged.with_answer(answer(status="PROCESSING"))
    assert judged.link_to_read == "u"
    assert judged.with_answer(answer(status="COMPLETE")).link_to_read is None
    assert judged.without_status_link().link_to_read is None


def test_the_first_correlation_id_is_kept() -> None:
    judged = operation(A).with_answer(answer(status="PENDING", correlationId="first"))
    assert judged.with_answer(answer(status="CANCELED", correlationId="second")).correlation_id == "first"


def test_times_are_kept_until_a_later_answer_has_others() -> None:
    times = {"requestedAt": "1", "startedAt": "2", "completedAt": "3"}
    judged = operation(A).with_answer(answer(status="PENDING", **times)).with_answer(answer(status="PROCESSING"))
    assert (judged.requested_at, judged.started_at, judged.completed_at) == ("1", "2", "3")
    later = judged.with_answer(answer(requestedAt="4", startedAt="5", completedAt="6"))
    assert (later.requested_at, later.started_at, later.completed_at) == ("4", "5", "6")


def test_only_the_first_errors_of_an_input_are_kept() -> None:
    judged = operation(A).with_answer(answer(status="CANCELED", errors=[ABOUT_NO_INPUT] * 7))
    ((_, errors),) = judged.refused
    assert len(errors) == 5


@pytest.mark.parametrize(
    ("count", "end"), [(10, "USER_DEFINED 10 (max 3)"), (12, "USER_DEFINED 10 (max 3), and 2 more")]
)
def test_a_title_names_the_first_inputs(count: int, end: str) -> None:
    title = operation(*({**B, "typeId": number} for number in range(1, count + 1))).title
    assert title.startswith("the update batch for contacts -> companies: USER_DEFINED 1 (max 3), ")
    assert title.endswith(end)


# -- handles --


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"action": "delete"}, "action"),
        ({"from_object_type": None}, "from_object_type"),
        ({"to_object_type": 5}, "to_object_type"),
        ({"inputs": []}, "inputs"),
        ({"inputs": None}, "inputs"),
        ({"inputs": [{**A, "category": "X"}]}, "inputs.0.category"),
        ({"inputs": [A, {"category": "WORK"}]}, "inputs.1.typeId"),
        ({"inputs": [{"category": "WORK", "typeId": 5}], "action": "create"}, "inputs"),
        ({"inputs": [A], "action": "purge"}, "inputs"),
        ({"status": "DONE"}, "status"),
        ({"results": [{}]}, "results.0.category"),
        ({"errors": "x"}, "errors"),
        ({"status_link": 5}, "status_link"),
        ({"in_force": [5]}, "in_force.0"),
    ],
)
def test_the_wrong_field_of_a_handle_is_named(change: dict[str, Any], place: str) -> None:
    handle = operation(A).to_dict() | change
    with pytest.raises(OperationHandleError, match="not the handle of a HubSpot batch operation") as error:
        BatchOperation.from_dict(handle)
    assert place in str(error.value)


@pytest.mark.parametrize("handle", [None, 5, "x", "{}", [], {}, [("action", "create")]])
def test_other_values_are_not_handles(handle: Any) -> None:
    with pytest.raises(OperationHandleError):
        BatchOperation.from_dict(handle)


def test_the_handle_has_the_outcome_of_each_input() -> None:
    handle = operation(A, B).with_answer(answer(results=[result(A)], errors=[ABOUT_B])).to_dict()
    assert handle["inputs"] == [A, B]
    assert handle["applied"] == [A]
    assert [(refused["typeId"], refused["errors"][0]["message"]) for refused in handle["refused"]] == [(35, "Refused")]
    assert handle["unconfirmed"] == []
    assert handle["status"] == "COMPLETE"


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["create", "purge", "PENDING", "COMPLETE", "CANCELED", "HUBSPOT_DEFINED", "USER_DEFINED", 279, 5])
)
names = st.sampled_from(sorted({*A, *result(A), *operation(A).to_dict(), *ABOUT_B, "links"})) | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=4), max_leaves=8
)


@settings(max_examples=50)
@given(anything | st.dictionaries(names, anything), st.dictionaries(names, anything, max_size=3))
def test_arbitrary_handles_are_read_or_refused(handle: Any, change: dict[str, Any]) -> None:
    for candidate in (handle, operation(A, B).to_dict() | change):
        try:
            read = BatchOperation.from_dict(candidate)
        except OperationHandleError:
            continue
        again = BatchOperation.from_dict(read.to_dict())
        assert again.to_dict() == read.to_dict() or "nan" in repr(read)
        assert read.has_succeeded + read.has_failed <= 1
        read.with_limits([])
        try:
            read.raise_for_failure()
        except HubSpotError:
            assert read.has_failed


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*RESULTS.values()]), min_size=1), st.permutations([A, B]))
def test_the_order_of_results_and_inputs_does_not_matter(parts: list[list[Any]], inputs: list[Any]) -> None:
    rows = list(itertools.chain(*parts))
    judged = [operation(*inputs).with_answer(answer(results=order)) for order in (rows, rows[::-1])]
    assert judged[0].has_succeeded == judged[1].has_succeeded
    assert judged[0].has_succeeded == operation(A, B).with_answer(answer(results=rows)).has_succeeded


def test_inputs_as_text() -> None:
    assert describe(LimitInput.model_validate(A)) == "HUBSPOT_DEFINED 279 (max 5)"
    assert describe(operation(B, action="purge").inputs[0]) == "USER_DEFINED 35"


# -- limits that HubSpot changed --


def test_a_limit_changed_by_hubspot_is_a_failure_once_a_read_confirms_it() -> None:
    judged = operation(A).with_answer(answer(results=[result(A, userEnforcedMaxToObjectIds=3)]))
    assert not judged.is_over
    assert not judged.with_limits(limits(result(A, userEnforcedMaxToObjectIds=9))).is_over
    assert not judged.with_limits(limits()).is_over
    assert judged.with_limits(limits(result(A))).has_succeeded
    changed = judged.with_limits(limits(result(A, userEnforcedMaxToObjectIds=3)))
    assert changed.has_failed
    with pytest.raises(HubSpotOperationError) as failure:
        changed.raise_for_failure("sandbox")
    assert str(failure.value).startswith(
        "HubSpot set other limits than requested by the update batch for contacts -> companies (connection sandbox):"
        " 0 of 1 applied.\n"
        "Not applied HUBSPOT_DEFINED 279 (max 5): HubSpot set 3 instead of 5.\n"
        "Send the batch again. If the result is the same, ask HubSpot's support, with the correlation id."
    )


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_other_limits_in_the_results_of_a_running_batch_do_not_end_it(status: str) -> None:
    judged = operation(A).with_answer(answer(status=status, results=[result(A, userEnforcedMaxToObjectIds=3)]))
    assert not judged.with_limits(limits(result(A, userEnforcedMaxToObjectIds=3))).is_over


def test_an_old_limit_in_a_read_does_not_end_a_batch() -> None:
    judged = operation(A, verify=True).with_answer(answer(results=[result(A)]))
    assert not judged.with_limits(limits(result(A, userEnforcedMaxToObjectIds=3))).is_over


def test_an_old_limit_in_the_results_of_a_purge_does_not_end_it() -> None:
    judged = operation(A, action="purge", verify=True).with_answer(answer(results=[result(A)]))
    assert not judged.with_limits(limits(result(A))).is_over


def test_missing_limits_are_shown_with_their_current_value() -> None:
    judged = operation(A, B, verify=True).with_answer(answer(results=[result(A), result(B)]))
    judged = judged.with_limits(limits(result(A, userEnforcedMaxToObjectIds=3)))
    assert judged.missing == [
        "HUBSPOT_DEFINED 279: is 3, should be 5",
        "USER_DEFINED 35: is unlimited, should be 3",
    ]
