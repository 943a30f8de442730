"""Do NumPy, PyTorch and Keras say the same? The reference in float64 judges."""
