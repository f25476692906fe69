"""What a running task does. The operators, which every DAG file imports, stand apart from it."""
