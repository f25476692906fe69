"""Whether and when Airflow retries a task after an error of this package."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_hubassoc.errors import HubassocError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # Airflow 3.2 has no retry policies
    RetryPolicy = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


def is_permanent(error: BaseException) -> bool:
    """Return True if running the task again cannot succeed."""
    if isinstance(error, HubassocError):
        return not error.retryable
    return isinstance(error, AirflowFailException)


if RetryPolicy is not None:

    class HubSpotRetryPolicy(RetryPolicy):
        """Fails permanent errors immediately, and retries at the time that HubSpot names. Requires Airflow 3.3.

        Every other error is left to the task's own ``retries`` and ``retry_delay``. So are errors with a time that the
        client itself would have waited: the client has given up, so retrying that soon would only use up the retries.
        """

        def __repr__(self) -> str:
            """Return the same text at every parse: if it changes, Airflow makes a new version of the DAG."""
            return f"{type(self).__name__}()"

        def __eq__(self, other: object) -> bool:
            return type(other) is type(self)

        def __hash__(self) -> int:
            return hash(type(self))

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
        ) -> RetryDecision:
            """Decide whether and when to retry. See ``airflow.sdk.RetryPolicy``."""
            # Not at the top: every DAG file imports this module.
            from airflow_provider_hubassoc.hubspot.retries import RetryPolicy as RequestRetryPolicy

            # An error of this package says itself whether a retry makes sense, whatever caused it.
            errors = [exception] if isinstance(exception, HubassocError) else [exception, exception.__cause__]
            for error in errors:
                if error is not None and is_permanent(error):
                    return RetryDecision.fail(reason="the error is permanent")
                wait = (isinstance(error, HubassocError) and error.retry_after) or 0
                if wait > RequestRetryPolicy.longest_wait:
                    reason = "HubSpot named the time to retry"
                    return RetryDecision.retry(delay=timedelta(seconds=wait), reason=reason)
            return RetryDecision.default()


def with_retry_policy(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Add the default retry policy to an operator's arguments, unless the user gave one or Airflow has none.

    Airflow passes ``retry_policy=None`` to mapped tasks, so None counts as not given.
    """
    if RetryPolicy is not None and not kwargs.get("retry_policy"):
        kwargs["retry_policy"] = kwargs.get("default_args", {}).get("retry_policy") or HubSpotRetryPolicy()
    return kwargs


def task_failure(error: Exception) -> Exception:
    """Return the exception to raise for an error: without a retry policy, a permanent error must not be retried."""
    if RetryPolicy is None and is_permanent(error):
        return AirflowFailException(str(error))
    return error
