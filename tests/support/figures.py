"""What the long suites count, told at the end of a run: a figure nobody sees proves nothing."""

FIGURES: dict[str, str] = {}
"""What was counted -> how many, in words."""
