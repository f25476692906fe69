"""Errors of HubSpot: their classes, messages, attributes and JSON."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.hubspot.error_mapping import from_response
from airflow_provider_hubassoc.hubspot.errors import HubSpotError

FACTS: dict[str, Any] = {
    "status": 429,
    "category": "RATE_LIMIT",
    "sub_category": "some.thing",
    "correlation_id": "c-1",
    "retry_after": 3.5,
    "connection": "hubspot_emea",
    "host": "api-eu1.hubapi.com",
    "direction": "contacts -> deals",
}
OWN_FACTS: dict[str, dict[str, Any]] = {
    "HubSpotAuthenticationError": {"retryable": True},
    "HubSpotMissingScopesError": {"required_scopes": ["a", "b"]},
    "HubSpotRateLimitError": {"policy": "DAILY"},
    "HubSpotUnavailableError": {"sent": False},
    "HubSpotOperationError": {"operation": {"status": "CANCELED"}},
}
KINDS = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HubSpotError)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facts", [{}, FACTS], ids=["bare", "full"])
def test_an_error_survives_json(kind: type[HubSpotError], facts: dict[str, Any]) -> None:
    error = kind("It went wrong", **facts, **(OWN_FACTS.get(kind.__name__, {}) if facts else {}))
    again = HubSpotError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert type(again) is kind
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert again.outcome_unknown == error.outcome_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling(kind: type[HubSpotError]) -> None:
    error = kind("It went wrong", **FACTS, **OWN_FACTS.get(kind.__name__, {}))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)


def test_the_text_includes_the_facts_for_support() -> None:
    assert str(HubSpotError("It went wrong", **FACTS)) == (
        "It went wrong (connection hubspot_emea, host api-eu1.hubapi.com, direction contacts -> deals, HTTP 429,"
        " category RATE_LIMIT, subCategory some.thing, correlation id c-1)"
    )
    assert str(HubSpotError("It went wrong")) == "It went wrong"


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        "x",
        [],
        {},
        {"type": "ValueError", "message": "x"},
        {"type": ["HubSpotError"], "message": "x"},
        {"type": "HubSpotError"},
        {"type": "HubSpotError", "message": None},
        {"type": "HubSpotError", "message": "x", "retry_after": "soon"},
        {"type": "HubSpotError", "message": "x", "policy": "DAILY"},
        {"type": "HubSpotError", "message": "x", 5: 6},
        {"type": "HubSpotAuthenticationError", "message": "x", "retryable": "true"},
    ],
)
def test_an_invalid_dict_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not the dict of a HubSpotError"):
        HubSpotError.from_dict(data)


def test_every_transient_error_is_retryable() -> None:
    """If the client may repeat the request, so may a later try of the task."""
    assert all(kind.retryable for kind in KINDS if kind.transient)


@pytest.mark.parametrize(
    ("attribute", "names"),
    [
        (
            "affects_every_request",
            {"HubSpotSettingsError", "HubSpotAuthenticationError", "HubSpotRateLimitError", "HubSpotTLSError"},
        ),
        ("rejects_token", {"HubSpotAuthenticationError", "HubSpotMissingScopesError"}),
        ("unanswered", {"HubSpotSettingsError", "HubSpotTLSError", "HubSpotUnavailableError"}),
    ],
)
def test_the_attributes_of_a_bare_error(attribute: str, names: set[str]) -> None:
    assert {kind.__name__ for kind in KINDS if getattr(kind("It went wrong"), attribute)} == names


def test_errors_that_do_not_concern_the_path() -> None:
    """A read of another path would fail as well, or would make a rate limit worse."""
    assert {kind.__name__ for kind in KINDS if not kind.specific_to_path} == {
        "HubSpotSettingsError",
        "HubSpotAuthenticationError",
        "HubSpotRateLimitError",
        "HubSpotUnavailableError",
        "HubSpotTLSError",
    }


def test_attributes_that_depend_on_the_answer() -> None:
    assert not errors.HubSpotUnavailableError("x", status=503).unanswered
    assert not errors.HubSpotAuthenticationError("x", retryable=True).affects_every_request
    assert errors.HubSpotUnavailableError("x", status=503).outcome_unknown
    assert not errors.HubSpotUnavailableError("x", status=423).outcome_unknown
    assert not errors.HubSpotUnavailableError("x", status=477).outcome_unknown
    assert not errors.HubSpotUnavailableError("x", sent=False).outcome_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_error_is_a_copy_with_other_fields(kind: type[HubSpotError]) -> None:
    error = kind("It went wrong", **FACTS, **OWN_FACTS.get(kind.__name__, {}))
    before = dict(vars(error))
    changed = error.replace(message="Another message", outcome_unknown=not error.outcome_unknown)
    assert type(changed) is kind
    assert vars(changed) == before | {"message": "Another message", "outcome_unknown": not error.outcome_unknown}
    assert vars(error) == before


# -- errors from HubSpot's answers --


@given(st.integers(300, 599), st.binary(max_size=200))
def test_any_answer_becomes_an_error(status: int, body: bytes) -> None:
    assert isinstance(from_response(status, body), HubSpotError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)
FIELDS = ["message", "category", "errorType", "subCategory", "correlationId", "policyName", "errors", "status"]


@settings(max_examples=50)
@given(
    st.sampled_from([301, 400, 401, 403, 404, 414, 423, 429, 437, 477, 500, 502, 503, 504, 521, 522, 523, 524]),
    st.dictionaries(st.sampled_from(FIELDS), json_values)
    | st.builds(lambda scopes: {"errors": [{"context": {"requiredGranularScopes": scopes}}]}, st.lists(json_values)),
)
def test_an_error_body_of_any_shape_is_tolerated(status: int, payload: dict[str, Any]) -> None:
    error = from_response(status, json.dumps(payload).encode())
    assert error.status == status
    assert error.message
    assert all(isinstance(value, (str, type(None))) for value in (error.category, error.sub_category))
    str(error).encode()
    assert type(HubSpotError.from_dict(error.to_dict())) is type(error)


@pytest.mark.parametrize("body", [b"[" * 200_000, b"1" * 10_000, b"\xff\xfe", b"<html>no</html>", b"", b'"text"'])
def test_a_body_that_is_not_an_object_is_ignored(body: bytes) -> None:
    assert str(from_response(502, body)) == "HubSpot is not available. Try again later. (HTTP 502)"


def test_a_whole_payload_is_never_shown() -> None:
    payload = dict.fromkeys(("message", "category", "subCategory", "correlationId", "policyName"), "x" * 100000) | {
        "errors": [{"context": {"requiredGranularScopes": [f"scope.{n}" for n in range(10_000)]}}]
    }
    for status in (400, 401, 403, 429, 500, 503):
        assert len(str(from_response(status, json.dumps(payload).encode()))) < 5_000


def test_required_scopes_are_named_once() -> None:
    payload = {
        "message": "No.",
        "errors": [
            {"context": {"requiredGranularScopes": ["a.read", "b.read"]}},
            {"context": {"x": 1}},
            5,
            {"context": {"requiredGranularScopes": ["a.read"]}},
        ],
    }
    error = from_response(403, json.dumps(payload).encode())
    assert error.message == ("The access token lacks a scope: No. Give the token one of these scopes: a.read, b.read.")
    assert error.required_scopes == ["a.read", "b.read"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ends", "named"),
    [
        (("contacts", "0-2"), "crm.objects.contacts.read, crm.objects.companies.read"),
        (("Deal", "2-130001"), "crm.objects.deals.read, crm.objects.custom.read"),
        (("p_pet", "p77_pet"), "crm.objects.custom.read"),
        (("tickets", "commerce_payments"), "tickets, crm.objects.commercepayments.read"),
        (None, "crm.objects.contacts.read, crm.objects.companies.read, crm.objects.deals.read"),
        (
            ("goals", "notes"),
            "crm.objects.commercepayments.read, crm.objects.companies.read, crm.objects.contacts.read",
        ),
    ],
)
def test_a_403_names_the_scopes_that_fit_the_direction(ends: tuple[str, str] | None, named: str) -> None:
    """HubSpot accepts any of a long list; a reader needs one or two."""
    names = ["commercepayments", "companies", "contacts", "custom", "deals", "services", "courses"]
    required = [f"crm.objects.{name}.{right}" for name in names for right in ("write", "read")] + ["tickets"]
    payload = {"message": "No.", "errors": [{"context": {"requiredGranularScopes": required}}]}
    error = from_response(403, json.dumps(payload).encode(), ends=ends)
    assert error.message.endswith(f"Give the token one of these scopes: {named}.")
    assert error.required_scopes == required  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        (
            "This oauth-token (CIi) does not have proper permissions! (requires any of [crm.objects.contacts.read, "
            "x-y])",
            ["crm.objects.contacts.read", "x-y"],
        ),
        ("The scope crm.objects.deals.read is needed.", ["crm.objects.deals.read"]),
        ("No.", []),
    ],
)
def test_scopes_in_the_text_of_a_403_are_found(text: str, scopes: list[str]) -> None:
    error = from_response(403, json.dumps({"message": text}).encode(), ends=("contacts", "companies"))
    assert error.required_scopes == scopes  # type: ignore[attr-defined]
    assert "[" not in error.message
    assert "Give the token one of these scopes: " in error.message


@pytest.mark.parametrize(
    "text", ["Unable to infer object type from: pet", "Object type pet is not supported by this endpoint"]
)
def test_the_advice_for_an_unknown_object_type_names_the_spellings(text: str) -> None:
    error = from_response(400, json.dumps({"message": text}).encode())
    assert type(error) is errors.HubSpotUnknownObjectTypeError
    assert text in error.message
    assert '"p_name" or "2-123"' in error.message


@pytest.mark.parametrize(("retry_after", "expected"), [(None, 2.0), (1.0, 2.0), (7.0, 7.0)])
def test_a_lock_sets_a_retry_after_of_at_least_two_seconds(retry_after: float | None, expected: float) -> None:
    assert from_response(423, b"", retry_after=retry_after).retry_after == expected


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "Invalid input", "HubSpot refused the request: Invalid input."),
        (404, None, "HubSpot refused the request. Check host and api_version in the connection."),
        (405, None, "HubSpot refused the request. Check host and api_version in the connection."),
        (404, "No such label.", "HubSpot refused the request: No such label."),
        (401, None, "HubSpot rejected the access token. Check the token in the connection."),
        (423, "locked", "HubSpot is not available: locked. Try again later."),
        (429, None, "HubSpot's rate limit is reached. Try again later."),
        (500, "internal error", "HubSpot failed to process the request: internal error. Try again later."),
    ],
)
def test_a_message_names_the_event_the_reason_and_the_remedy(status: int, message: str | None, expected: str) -> None:
    body = {} if message is None else {"message": message}
    assert from_response(status, json.dumps(body).encode()).message == expected


def test_the_number_of_required_scopes_is_bounded() -> None:
    scopes = [f"scope.{n}" for n in range(101)]
    payload = {"errors": [{"context": {"requiredGranularScopes": scopes}}]}
    error = from_response(403, json.dumps(payload).encode())
    assert error.required_scopes == scopes[:100]  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [408, 409, 425])
def test_a_temporary_condition_is_a_server_error(status: int) -> None:
    error = from_response(status, b"")
    assert type(error) is errors.HubSpotServerError
    assert error.retryable


@pytest.mark.parametrize(
    ("retry_after", "is_valid"),
    [(None, True), (0, True), (0.5, True), (604_800, True), (604_800.1, False), (-1, False), ("1", False)],
)
def test_the_range_of_retry_after(retry_after: Any, is_valid: bool) -> None:
    assert errors.is_retry_after(retry_after) is is_valid


def test_a_403_without_a_body_has_advice() -> None:
    message = from_response(403, b"", ends=("contacts", "companies")).message
    assert message.startswith("The access token lacks a scope. Give the token one of these scopes: crm.objects.")
