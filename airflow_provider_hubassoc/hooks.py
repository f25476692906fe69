"""Hook that connects to HubSpot through an Airflow connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotSettingsError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider_hubassoc.hubspot.client import HubSpotClient
    from airflow_provider_hubassoc.hubspot.models import (
        AccountInfo,
        AssociationLabel,
        AssociationLimit,
        BatchAnswer,
        LimitInput,
    )
    from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings

log = logging.getLogger(__name__)


class HubSpotHook(BaseHook):
    """Reads and writes association limits and labels through an Airflow connection of type ``hubspot``.

    The hook reads the connection at the first call. Its methods call those of :attr:`client`. Every method that sends
    a request raises a :class:`~airflow_provider_hubassoc.hubspot.errors.HubSpotError` if it fails. Use the hook as a
    context manager, or call :meth:`close`, to close the network connection.

    :param hubspot_conn_id: id of the connection.
    :param connection: the connection, if the caller has read it already. The hook does not read it again.
    :param sleep: waits the given seconds between attempts; may raise an exception to end the call early.
    """

    conn_name_attr = "hubspot_conn_id"
    default_conn_name = "hubspot_default"
    conn_type = "hubspot"
    hook_name = "HubSpot"

    def __init__(
        self,
        hubspot_conn_id: str = default_conn_name,
        *,
        connection: Connection | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self.hubspot_conn_id = hubspot_conn_id
        # A function, because tracebacks with local variables would show the repr of a connection, with its password.
        self._read_connection: Callable[[], Connection] = lambda: connection or self.get_connection(hubspot_conn_id)
        self._may_reread = connection is None
        self._sleep = sleep

    def __enter__(self) -> HubSpotHook:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the network connection. The next call opens it again."""
        if "client" in self.__dict__:
            self.client.close()

    @cached_property
    def client(self) -> HubSpotClient:
        """The client that all methods use.

        :raises HubSpotSettingsError: if the connection is invalid; the error names every wrong field.
        """
        # Importing this module is cheap; HTTP and models are imported with the first client.
        from airflow.sdk.log import mask_secret

        from airflow_provider_hubassoc.connection_settings import read_settings
        from airflow_provider_hubassoc.hubspot.client import HubSpotClient

        warnings: list[str] = []
        settings = read_settings(self._read_connection(), self.hubspot_conn_id, warnings)
        for warning in warnings:
            log.warning("Connection %s: %s", self.hubspot_conn_id, warning)
        return HubSpotClient(
            settings,
            on_new_token=mask_secret,
            sleep=self._sleep,
            connection_name=self.hubspot_conn_id,
            reread_settings=self._reread_settings if self._may_reread else None,
        )

    def _reread_settings(self) -> HubSpotSettings | None:
        """Return the settings as stored now; None if they cannot be read or are invalid."""
        from airflow_provider_hubassoc.connection_settings import read_settings

        try:
            return read_settings(self._read_connection(), self.hubspot_conn_id)
        except Exception as error:  # a secrets backend may raise any error, and its text may hold secrets
            log.warning(
                "HubSpot rejected the access token, and connection %s could not be read again: %s",
                self.hubspot_conn_id,
                type(error).__name__,
            )
            return None

    def get_conn(self) -> HubSpotClient:
        """Return :attr:`client`."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """Check the access token and the permission to read limits, for Airflow's connection test.

        :return: whether both checks succeeded, and a sentence that names the portal or the failure.
        """
        try:
            client = self.client.without_retries()
            portal = client.account_info()
        except HubSpotError as error:
            return False, f"{_test_failure(error)}: {error}"
        whose = f"portal {portal.portal_id} ({portal.account_type})"
        try:
            client.get_all_limits()
        except HubSpotError as error:
            return False, f"The access token is valid for {whose}, but association limits cannot be read: {error}"
        return True, f"Connected to HubSpot {whose}; association limits can be read."

    # -- the methods of HubSpotClient that DAG authors use most --

    def create_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | dict[str, Any]]
    ) -> BatchAnswer:
        """See :meth:`HubSpotClient.create_limits <airflow_provider_hubassoc.hubspot.client.HubSpotClient>`."""
        return self.client.create_limits(from_object_type, to_object_type, inputs)

    def update_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | dict[str, Any]]
    ) -> BatchAnswer:
        """See ``HubSpotClient.update_limits``."""
        return self.client.update_limits(from_object_type, to_object_type, inputs)

    def purge_limits(
        self, from_object_type: str, to_object_type: str, inputs: Sequence[LimitInput | dict[str, Any]]
    ) -> BatchAnswer:
        """See ``HubSpotClient.purge_limits``."""
        return self.client.purge_limits(from_object_type, to_object_type, inputs)

    def get_limits(self, from_object_type: str, to_object_type: str) -> list[AssociationLimit]:
        """See ``HubSpotClient.get_limits``."""
        return self.client.get_limits(from_object_type, to_object_type)

    def get_all_limits(self) -> list[AssociationLimit]:
        """See ``HubSpotClient.get_all_limits``."""
        return self.client.get_all_limits()

    def get_labels(self, from_object_type: str, to_object_type: str) -> list[AssociationLabel]:
        """See ``HubSpotClient.get_labels``."""
        return self.client.get_labels(from_object_type, to_object_type)

    def create_label(
        self, from_object_type: str, to_object_type: str, *, label: str, name: str, inverse_label: str | None = None
    ) -> list[AssociationLabel]:
        """See ``HubSpotClient.create_label``."""
        return self.client.create_label(
            from_object_type, to_object_type, label=label, name=name, inverse_label=inverse_label
        )

    def update_label(
        self,
        from_object_type: str,
        to_object_type: str,
        *,
        association_type_id: int,
        label: str,
        inverse_label: str | None = None,
    ) -> None:
        """See ``HubSpotClient.update_label``."""
        self.client.update_label(
            from_object_type,
            to_object_type,
            association_type_id=association_type_id,
            label=label,
            inverse_label=inverse_label,
        )

    def delete_label(self, from_object_type: str, to_object_type: str, association_type_id: int) -> None:
        """See ``HubSpotClient.delete_label``."""
        self.client.delete_label(from_object_type, to_object_type, association_type_id)

    def account_info(self) -> AccountInfo:
        """See ``HubSpotClient.account_info``."""
        return self.client.account_info()


def _test_failure(error: HubSpotError) -> str:
    if error.rejects_token:
        return "Could not verify the access token"
    if isinstance(error, HubSpotSettingsError):
        return "Nothing was sent"
    if error.unanswered:
        return "Could not reach HubSpot, so the access token was not checked"
    return "HubSpot did not say whether the access token is valid"
