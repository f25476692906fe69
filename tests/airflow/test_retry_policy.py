"""Whether and when Airflow retries a task after an error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_hubassoc import retry_policy as failures
from airflow_provider_hubassoc.hubspot import errors
from airflow_provider_hubassoc.limits.inputs import LimitInputsError
from airflow_provider_hubassoc.limits.operation import OperationHandleError
from airflow_provider_hubassoc.limits.plan import StalePlanError
from airflow_provider_hubassoc.limits.problems import ConfigError, Problem
from airflow_provider_hubassoc.retry_policy import is_permanent, task_failure, with_retry_policy

POLICY = getattr(failures, "HubSpotRetryPolicy", None)
"""None where Airflow (3.2) has no retry policies."""

PERMANENT: list[Exception] = [
    errors.HubSpotAuthenticationError("no"),
    errors.HubSpotMissingScopesError("no"),
    errors.HubSpotOperationError("no"),
    errors.HubSpotSettingsError("no"),
    errors.HubSpotTLSError("no"),
    errors.HubSpotUnknownObjectTypeError("no"),
    errors.HubSpotValidationError("no"),
    LimitInputsError(["no"]),
    OperationHandleError("no"),
    ConfigError([Problem("no")]),
    StalePlanError(["no"]),
]
PASSING: list[Exception] = [
    errors.HubSpotOperationTimeoutError("no"),
    errors.HubSpotPollError("no"),
    errors.HubSpotRateLimitError("no", retry_after=10),
    errors.HubSpotRefusedAnswerError("no"),
    errors.HubSpotServerError("no"),
    errors.HubSpotUnavailableError("no", retry_after=2),
    errors.HubSpotUnreadableAnswerError("no"),
    AirflowException("no"),
    OSError("no"),
    ValueError("no"),
]


def name(error: Exception) -> str:
    return type(error).__name__


@pytest.mark.parametrize("error", PERMANENT, ids=name)
def test_permanent_errors_fail_at_once(error: Exception) -> None:
    assert is_permanent(error)
    if POLICY is None:
        assert isinstance(task_failure(error), AirflowFailException)
        assert str(task_failure(error)) == str(error)
    else:
        assert task_failure(error) is error
        assert decision(error) == ("fail", None)
        assert decision(caused_by(error)) == ("fail", None)


@pytest.mark.parametrize("error", PASSING, ids=name)
def test_transient_errors_follow_the_tasks_own_retries(error: Exception) -> None:
    assert not is_permanent(error)
    assert task_failure(error) is error
    if POLICY is not None:
        assert decision(error) == decision(caused_by(error)) == ("default", None)


@pytest.mark.parametrize(
    "kind", [errors.HubSpotRateLimitError, errors.HubSpotUnavailableError, errors.HubSpotPollError]
)
def test_a_time_that_hubspot_names_is_the_delay(kind: type[errors.HubSpotError]) -> None:
    error = kind("later", retry_after=61.5)
    if POLICY is not None:
        assert decision(error) == decision(caused_by(error)) == ("retry", timedelta(seconds=61.5))


@pytest.mark.parametrize("error", PERMANENT, ids=name)
def test_the_cause_of_a_transient_error_does_not_make_it_permanent(error: Exception) -> None:
    failure = errors.HubSpotPollError("no")
    failure.__cause__ = error
    if POLICY is not None:
        assert decision(failure) == ("default", None)


def test_every_error_class_is_permanent_or_transient() -> None:
    judged = {type(error) for error in (*PERMANENT, *PASSING)}
    assert {kind for kind in vars(errors).values() if is_error(kind)} - judged == {errors.HubSpotError}


def test_airflow_without_retry_policies_gets_no_such_argument() -> None:
    assert [type(value) for value in with_retry_policy({}).values()] == ([] if POLICY is None else [POLICY])


def test_default_policies_are_equal_and_serialize_alike() -> None:
    """Airflow 3.3.0 stores the text of a policy with the DAG: an address in it makes a new version at each parse."""
    if POLICY is not None:
        assert repr(POLICY()) == "HubSpotRetryPolicy()"
        assert {POLICY(), POLICY()} == {POLICY()}
        assert POLICY() != type("OwnPolicy", (POLICY,), {})()


def is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.HubSpotError)


def caused_by(error: Exception) -> AirflowException:
    failure = AirflowException("wrapped, as the sensor does")
    failure.__cause__ = error
    return failure


def decision(error: BaseException) -> tuple[str, timedelta | None]:
    assert POLICY is not None
    decided = POLICY().evaluate(error, try_number=1, max_tries=3)
    return decided.action.value, decided.retry_delay
