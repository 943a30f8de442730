"""What small models learn on real data sets, in both frameworks; see `python -m tools.task_scores`."""
