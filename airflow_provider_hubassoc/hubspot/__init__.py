"""HubSpot's CRM Associations Schema API, without Airflow.

The names live in their modules (:mod:`.client`, :mod:`.errors`, :mod:`.models` ...), so that importing this
package costs nothing.
"""
