"""What both frameworks know of texts that are compared with each other: roles, constants, and names."""

from __future__ import annotations

# The roles of a text among those that stand together.
ANCHOR, POSITIVE, NEGATIVE = 0, 1, 2
# The columns of the labels of a loss of vectors, a row a text; those of a loss of scores are group and relevance.
VECTOR_LABELS = ("group", "role", "text", "score")  # the number of its group and of its text, and a score of the pair
POOLINGS = ("first", "mean", "weighted", "max")
SCALE = 20.0  # of cosines as logits: sentence-transformers'
MARGIN = 0.2  # of triplets, in squared distances of unit vectors: FaceNet's
VECTOR_LOSSES = ("multiple-negatives", "cosine", "triplet")
GROUP_LOSSES = ("pairwise", "listwise")
