"""How an error of HubSpot's ends an Airflow task: at once, or with Airflow's retries, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.hubspot.errors import HubSpotError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # Airflow 3.2 has no retry policies
    RetryPolicy = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


def is_permanent(error: BaseException) -> bool:
    """Whether running the task again cannot mend the error."""
    from airflow_provider_hubassoc.limits.inputs import LimitInputsError
    from airflow_provider_hubassoc.limits.operation import OperationHandleError

    if isinstance(error, HubSpotError):
        return not error.retryable
    return isinstance(error, (LimitInputsError, OperationHandleError))


if RetryPolicy is not None:

    class HubSpotRetryPolicy(RetryPolicy):
        """Fails at once what a retry cannot mend, and comes back at the time HubSpot named. Airflow 3.3.

        Every other error is left to the task's own ``retries`` and ``retry_delay``.
        """

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
        ) -> RetryDecision:
            """Decide what becomes of the task. See ``airflow.sdk.RetryPolicy``."""
            for error in (exception, exception.__cause__):
                if error is not None and is_permanent(error):
                    return RetryDecision.fail(reason="a retry cannot mend this")
                if isinstance(error, HubSpotError) and error.retry_after:
                    return RetryDecision.retry(
                        delay=timedelta(seconds=error.retry_after), reason="HubSpot named the time to come back"
                    )
            return RetryDecision.default()


def with_retry_policy(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Add the default retry policy to an operator's arguments, unless the user gave one or Airflow has none."""
    if RetryPolicy is not None:
        kwargs.setdefault("retry_policy", HubSpotRetryPolicy())
    return kwargs


def task_failure(error: Exception) -> Exception:
    """Return what to raise for an error: itself where a retry policy judges it, else what spares the retries."""
    if RetryPolicy is None and is_permanent(error):
        return AirflowFailException(str(error))
    return error
