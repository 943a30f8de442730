"""`deberta serve` under load: beside a plain server of transformers, and for a long time with bad clients."""
