"""`deberta serve`: models behind HTTP, with the routes of text-embeddings-inference and more."""
