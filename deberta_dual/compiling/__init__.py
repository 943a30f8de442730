"""The fastest way to run a model on this machine: measured, told, and kept."""
