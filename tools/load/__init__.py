"""`deberta serve` under load: beside a plain server of transformers, and for half an hour with bad clients."""
