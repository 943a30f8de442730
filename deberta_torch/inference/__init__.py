"""Fast inference on CPUs: `deberta_torch.optimize`."""
