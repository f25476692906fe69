"""The base of every error that this package raises on purpose.

::

    HubassocError
    ├── HubSpotError                        hubspot/errors.py       HubSpot or the network
    │   ├── HubSpotSettingsError                                    the connection's settings are invalid
    │   ├── HubSpotAuthenticationError                              401, or the refresh of a token was refused
    │   ├── HubSpotMissingScopesError                               403
    │   ├── HubSpotValidationError                                  400 and other 4xx
    │   │   └── HubSpotUnknownObjectTypeError
    │   ├── HubSpotRateLimitError                                   429
    │   ├── HubSpotUnavailableError                                 no connection, no answer in time, 502 to 504 ...
    │   ├── HubSpotServerError                                      500
    │   ├── HubSpotTLSError
    │   ├── HubSpotUnreadableAnswerError
    │   ├── HubSpotRefusedAnswerError
    │   ├── HubSpotOperationError                                   HubSpot refused all or part of a batch
    │   ├── HubSpotOperationTimeoutError                            the limits were not settled in time
    │   └── HubSpotPollError                                        the state of a batch could not be read
    ├── ConfigError                         limits/problems.py      declared limits that cannot be used
    ├── LimitInputsError                    limits/inputs.py        arguments that cannot be used
    ├── OperationHandleError                limits/operation.py     not the handle of a batch
    ├── StalePlanError                      limits/plan             the portal has changed since the plan was made
    ├── ApplyError                          limits/apply/report.py  not everything of a plan is applied
    ├── InvalidArgumentsError               templating.py           every mistake in the arguments of a task
    └── UsageError                          terminal/arguments.py   the command line cannot be used
"""

from __future__ import annotations


class HubassocError(Exception):
    """Base class of this package's errors.

    ``retryable``
        Whether a later attempt may succeed without anybody changing anything. Every other error is permanent: the
        task fails immediately and does not consume its retries.
    ``retry_after``
        Seconds after which a later attempt makes sense, if HubSpot named a time; else None.
    """

    retryable: bool = False
    retry_after: float | None = None
