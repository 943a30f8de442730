"""The framework-free core: configurations, the executable specification, tokenizers, checkpoint formats, the command."""
