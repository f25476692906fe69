"""Declared association limits of a portal: plan, apply, wait and report. This package does not import Airflow."""
