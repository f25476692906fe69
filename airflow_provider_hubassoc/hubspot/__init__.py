"""HubSpot's CRM Associations Schema API, without Airflow.

Import names from their modules (:mod:`.client`, :mod:`.errors`, :mod:`.models` ...): importing this package alone must
stay cheap, because DAG files do it.
"""
