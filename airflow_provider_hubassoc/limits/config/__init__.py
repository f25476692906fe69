"""Declared limits: a file (YAML or JSON), its text or a dict becomes a validated config, or a list of all mistakes.

    version: 1
    associations:
      - from: contacts
        to: companies
        limit: 5                    # object limit: of the unlabeled association type
        labels:
          Decision maker: 2         # label limit
      - from: p_subscription_plan
        to: companies
        limit: unlimited            # no limit; an existing one is removed
    portals:
      "12345":                      # overrides for one portal
        associations:
          - {from: contacts, to: companies, limit: 3}

Limits that a file does not mention stay unchanged in the portal, unless pruning is requested. A limit written as
``null``, or with nothing after the colon, is not managed: it never changes, and among the overrides of a portal it
cancels the general declaration.

Source: HubSpot's guide "Associations schema" (definition of limits, names of labels).
"""

from airflow_provider_hubassoc.limits.config.label_text import canonical_label, label_problem
from airflow_provider_hubassoc.limits.config.load import check_config, load_config
from airflow_provider_hubassoc.limits.config.models import (
    AssociationConfig,
    LabelConfig,
    LimitsConfig,
    ResolvedConfig,
)
from airflow_provider_hubassoc.limits.config.schema import json_schema, schema_text
from airflow_provider_hubassoc.limits.problems import ConfigError, Place, Problem

__all__ = [
    "AssociationConfig",
    "ConfigError",
    "LabelConfig",
    "LimitsConfig",
    "Place",
    "Problem",
    "ResolvedConfig",
    "canonical_label",
    "check_config",
    "json_schema",
    "label_problem",
    "load_config",
    "schema_text",
]
