"""Link from a task to HubSpot's settings of the object type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from airflow_provider_hubassoc.hubspot.object_types import normalize

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PORTAL_XCOM_KEY = "portal"

_OBJECT_TYPE_ID = re.compile(r"\d+-\d+")


class HubSpotObjectSettingsLink(BaseOperatorLink):
    """Opens the settings of the object type in the task's portal; their tab Associations shows the limits.

    For a sync, which has more than one object type, it opens the list of all object types.

    HubSpot does not document the address of the page; ``url`` is the form seen in its community. Override it in a
    subclass if HubSpot moves the page.
    """

    name = "HubSpot object settings"
    url = "https://{ui_domain}/sales-products-settings/{portal_id}/object/{object_type_id}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string before the task knows its portal."""
        from airflow.sdk.execution_time.xcom import XCom  # not for DAG files, which import this module

        # Reading an XCom that is missing leaves an error in the log, so the operator says whether there is one.
        portal = getattr(operator, "known_portal", {})
        if portal is None:
            portal = XCom.get_value(ti_key=ti_key, key=PORTAL_XCOM_KEY)
        if not isinstance(portal, Mapping) or not re.fullmatch(r"[\w.-]+", str(portal.get("ui_domain") or "")):
            return ""
        object_type_id = normalize(str(getattr(operator, "from_object_type", "")))
        return self.url.format(
            ui_domain=portal["ui_domain"],
            portal_id=portal.get("portal_id"),
            object_type_id=object_type_id if _OBJECT_TYPE_ID.fullmatch(object_type_id) else "",
        ).rstrip("/")
