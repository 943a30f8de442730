"""`deberta explain`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from deberta_core.errors import InputError
from deberta_core.files import write_text
from deberta_core.transaction import replace_files
from deberta_dual.backends import TRAINERS
from deberta_dual.commands.messages import show_warning
from deberta_dual.commands.parser import Parser, add_framework_options
from deberta_dual.explaining.explanation import explain
from deberta_dual.explaining.page import page_of

_EXAMPLE = """examples:
  deberta explain "The striker misses the final." --model my-classifier --html why.html
  deberta explain "Paris is the [MASK] of France." --model my-masked-lm --layer 3 --head 5 > why.json
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0.

    Raises:
        DebertaError: see `explain`; or the file cannot be written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    arguments = make_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        found = explain(
            arguments.model,
            arguments.text,
            arguments.text_pair,
            layer=arguments.layer,
            head=arguments.head,
            target=arguments.target,
            token=arguments.token,
            steps=arguments.steps,
            framework=arguments.framework,
            device=arguments.device,
        )
    if arguments.html is None:
        sys.stdout.write(json.dumps(found.to_dict(), ensure_ascii=False) + "\n")
    else:
        with replace_files(arguments.html.parent, InputError) as staging:
            write_text(staging / arguments.html.name, page_of(found, arguments.text, arguments.text_pair))
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "explain",
        "TEXT --model DIR",
        "Take the attention scores of one head apart, and attribute the model's answer to the tokens.",
        _EXAMPLE,
    )
    parser.add_argument("text", metavar="TEXT", help="text to explain; for question answering the question")
    add = parser.add_argument_group("model").add_argument
    add("--model", required=True, metavar="DIR", help="checkpoint folder or hub id")
    add_framework_options(add, TRAINERS)
    add = parser.add_argument_group("what is explained").add_argument
    add("--text-pair", metavar="TEXT", help="second text; the context of a question, or a choice; default: none")
    add("--layer", type=int, default=-1, metavar="N", help="from 0, or negative from the end; default: -1, the last")
    add("--head", type=int, default=0, metavar="N", help="attention head, from 0; default: 0")
    text = "class, or word at a mask, or start or end of an answer; default: the likeliest"
    add("--target", metavar="NAME", help=text)
    add(
        "--token", type=int, metavar="N", help="token whose output is attributed, from 0; default: the one that decides"
    )
    add("--steps", type=int, default=32, metavar="N", help="steps of integrated gradients; default: 32")
    add = parser.add_argument_group("output").add_argument
    add("--html", type=Path, metavar="FILE", help="page to write; default: JSON on standard output")
    return parser
