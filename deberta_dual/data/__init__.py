"""Files and streams of examples: how they are read, and where in them an example stands."""
