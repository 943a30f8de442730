"""The cross-framework suite and the weight converters."""
