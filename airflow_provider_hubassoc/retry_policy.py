"""How an error of HubSpot's ends an Airflow task: at once, or with Airflow's retries, and when."""

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
        """Fails at once what a retry cannot mend, and comes back at the time HubSpot named. Airflow 3.3.

        Every other error is left to the task's own ``retries`` and ``retry_delay``. So are times that the client
        waits through by itself: when it has given up, coming back as soon would only use up the retries.
        """

        def __repr__(self) -> str:
            """Return the same text at every parse: Airflow stores it with the DAG, which is new when it changes."""
            return f"{type(self).__name__}()"

        def __eq__(self, other: object) -> bool:
            return type(other) is type(self)

        def __hash__(self) -> int:
            return hash(type(self))

        def evaluate(
            self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
        ) -> RetryDecision:
            """Decide what becomes of the task. See ``airflow.sdk.RetryPolicy``."""
            from airflow_provider_hubassoc.hubspot.retries import RetryPolicy as RequestRetryPolicy

            for error in (exception, exception.__cause__):
                if error is not None and is_permanent(error):
                    return RetryDecision.fail(reason="a retry cannot mend this")
                wait = (isinstance(error, HubassocError) and error.retry_after) or 0
                if wait > RequestRetryPolicy.longest_wait:
                    reason = "HubSpot named the time to come back"
                    return RetryDecision.retry(delay=timedelta(seconds=wait), reason=reason)
            return RetryDecision.default()


def with_retry_policy(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Add the default retry policy to an operator's arguments, unless the user gave one or Airflow has none.

    None is not one: that is what Airflow itself gives to each mapped task.
    """
    if RetryPolicy is not None and not kwargs.get("retry_policy"):
        kwargs["retry_policy"] = kwargs.get("default_args", {}).get("retry_policy") or HubSpotRetryPolicy()
    return kwargs


def task_failure(error: Exception) -> Exception:
    """Return what to raise for an error: itself where a retry policy judges it, else what spares the retries."""
    if RetryPolicy is None and is_permanent(error):
        return AirflowFailException(str(error))
    return error
