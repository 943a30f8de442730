"""Packages that others use with ours: whether they install together, and what was tried with each."""
