"""Why a model answers as it does: attention scores taken apart, and what each token did to an output."""
