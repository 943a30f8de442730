"""What pretraining is worth to small models, in both frameworks; see `python -m tools.pretraining_scores`."""
