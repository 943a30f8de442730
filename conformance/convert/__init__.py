"""Checkpoint conversion: the plan, its execution, and the check of the result."""
