"""Feeds damaged files to everything that reads files, and says which were neither read nor refused."""
