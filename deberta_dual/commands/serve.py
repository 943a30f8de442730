"""`deberta serve`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from deberta_core.errors import InputError
from deberta_dual.commands.messages import show_warning
from deberta_dual.commands.parser import Parser, add_framework_options

KEY_VARIABLE = "DEBERTA_API_KEY"  # of the environment: what is on a command line, every user of the machine can read
_EXAMPLE = """examples:
  deberta serve my-classifier --port 8000
  curl http://127.0.0.1:8000/predict -H 'Content-Type: application/json' -d '{"inputs": "What a film!"}'
  deberta serve my-reranker my-embedder --host 0.0.0.0 --api-key "$KEY"     ("model": "my-embedder" in a request)

routes: /embed /predict /rerank /v1/embeddings as text-embeddings-inference has them, /tokens /answer /fill /zero-shot,
/explain /info /health /metrics; /docs and /openapi.json describe them.
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command until it is told to stop.

    Returns:
        0.

    Raises:
        DebertaError: see `serve`.
        SystemExit: bad usage (2), or `--help` (0).
    """
    given = vars(make_parser().parse_args(argv))
    try:
        from deberta_dual.serving.run import serve
        from deberta_dual.serving.settings import ServeSettings
    except ModuleNotFoundError as problem:
        raise InputError(
            f"deberta serve needs the package {problem.name}. Run: pip install 'deberta-dual[serve]'."
        ) from problem
    settings = ServeSettings.read(given)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        serve(settings)
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("serve", "MODEL [MODEL ...]", "Answer requests over HTTP with one model or several.", _EXAMPLE)
    text = "checkpoint folder or hub id; a request names one by its last part, the first is the default"
    parser.add_argument("models", nargs="+", metavar="MODEL", help=text)
    add = parser.add_argument_group("model").add_argument
    add_framework_options(add)
    add("--dtype", metavar="NAME", help="float32, bfloat16, float16, or int8 (PyTorch on a CPU); default: float32")
    text = "maximum sequence length in tokens; default: the model's"
    add("--max-length", type=int, metavar="TOKENS", help=text)
    text = "refuse longer texts where a request does not say truncate; default: cut them"
    add("--no-truncate", dest="truncate", action="store_false", help=text)
    add = parser.add_argument_group("address").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at; default: 127.0.0.1")
    add("--port", type=int, default=8000, metavar="N", help="port to listen at, 0 for a free one; default: 8000")
    add("--workers", type=int, default=1, metavar="N", help="processes, each with its own models; default: 1")
    text = f"key that requests must carry as Authorization: Bearer KEY; default: the variable {KEY_VARIABLE}, if set"
    add("--api-key", default=os.environ.get(KEY_VARIABLE), metavar="KEY", help=text)
    text = "web sites whose pages may call the server, * for all; default: none"
    add("--cors-origins", nargs="+", default=[], metavar="URL", help=text)
    text = "show a page at / that explains answers in a browser; with a key at /#key=KEY"
    add("--page", action="store_true", help=text)
    add = parser.add_argument_group("limits").add_argument
    text = "tokens in a batch; default: 1024 on a CPU, else 16384"
    add("--max-batch-tokens", type=int, metavar="N", help=text)
    text = "tokens that may wait; then requests get status 429; default: 262144"
    add("--max-waiting-tokens", type=int, default=262144, metavar="N", help=text)
    add("--max-texts", type=int, default=1024, metavar="N", help="texts of a request; default: 1024")
    add("--max-body", type=int, default=2_000_000, metavar="BYTES", help="size of a request; default: 2000000")
    text = "for a request to arrive, and then to be answered; default: 30"
    add("--timeout", type=float, default=30.0, metavar="SECONDS", help=text)
    add = parser.add_argument_group("log").add_argument
    add("--log-texts", action="store_true", help="log the bodies of requests, which may be private")
    return parser
