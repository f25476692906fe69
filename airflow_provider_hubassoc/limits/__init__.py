"""What a user wants a portal's association limits to be, and how to get there. No Airflow here."""
