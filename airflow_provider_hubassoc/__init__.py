"""HubSpot association limits, managed from Apache Airflow."""

__version__ = "0.1.0"
