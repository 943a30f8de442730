"""Files and streams of examples: how they are read, which column is what, and where an example stands."""
