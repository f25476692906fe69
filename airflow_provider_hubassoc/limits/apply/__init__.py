"""Execution of a plan: the order of the writes, the requests, and the report."""

from airflow_provider_hubassoc.limits.apply.report import (
    STATUSES,
    ApplyError,
    ApplyReport,
    Outcome,
    Status,
    report_lines,
)
from airflow_provider_hubassoc.limits.apply.run import apply_plan

__all__ = ["STATUSES", "ApplyError", "ApplyReport", "Outcome", "Status", "apply_plan", "report_lines"]
