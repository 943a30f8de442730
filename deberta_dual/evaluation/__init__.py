"""How good a model is: metrics, and the command `deberta evaluate`."""
