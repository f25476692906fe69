"""The inputs of a batch as models, from arguments as a DAG author writes them."""

from __future__ import annotations

from typing import Any

from airflow_provider_hubassoc.hubspot.models import LimitInput
from airflow_provider_hubassoc.limits.inputs import check_inputs


def parse_inputs(from_object_type: Any, to_object_type: Any, inputs: Any, action: Any) -> list[LimitInput]:
    """Check the arguments of one batch, and return its inputs as a task sends them."""
    checked = check_inputs(from_object_type, to_object_type, inputs, action)
    return [LimitInput.model_validate(limit_input) for limit_input in checked]
