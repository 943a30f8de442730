"""Changes to files: to their bytes, and, where a file has a structure, to its parts, so that readers get deep into it.

Each takes a source of random numbers and a file's content, and gives another content. None knows of another's random
numbers: all that is drawn comes from the source, so a content follows from the original and the source's seed.
"""
