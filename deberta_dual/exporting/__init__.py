"""Models as files that other runtimes execute."""
