"""The work of a running task. It is separate from the operators, which every DAG file imports."""
