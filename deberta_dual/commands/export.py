"""`deberta export`."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from pathlib import Path

from conformance.convert.verify import Line, show_lines
from deberta_core.tasks import BACKBONE, TASKS
from deberta_dual.commands.messages import FAILED
from deberta_dual.commands.parser import SOURCE, Parser
from deberta_dual.exporting.export import OWN, export, verify_export
from deberta_dual.exporting.targets import TARGETS

_EXAMPLE = """examples:
  deberta export my-classifier my-classifier-onnx --to onnx --verify
  deberta export my-classifier my-classifier-onnx --to onnx --dtype int8     (a second file beside the first)
  deberta export my-encoder my-embedder --to onnx --task backbone --pooling mean --normalize

DST has config.json, the tokenizer's files, and the model in a folder of the format: onnx/, openvino/, saved_model/,
litert/, torch/.
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0, or 1 if `--verify` or `--verify-only` found a difference beyond its bound.

    Raises:
        DebertaError: see `export`.
        SystemExit: bad usage (2), or `--help` (0).
    """
    arguments = make_parser().parse_args(argv)
    task = {None: OWN, BACKBONE.name: None}.get(arguments.task, arguments.task)
    if arguments.verify_only:
        lines = verify_export(arguments.source, arguments.target, arguments.to, task=task, dtype=arguments.dtype)
        return _judged(lines, arguments.target)
    done = export(
        arguments.source,
        arguments.target,
        arguments.to,
        task=task,
        dtype=arguments.dtype,
        ids=arguments.ids,
        pooling=arguments.pooling,
        normalize=arguments.normalize,
        opset=arguments.opset,
        verify=arguments.verify,
        force=arguments.force,
    )
    print(f"{arguments.source} -> {done.file}: {done.task or BACKBONE.name}, {arguments.dtype}")
    return _judged(done.lines, done.file) if arguments.verify else 0


def _judged(lines: Sequence[Line], place: str | Path) -> int:
    """Shows comparisons; the last line says of what is not the same which output is the worst."""
    if show_lines(lines):
        print("verified")
        return 0
    worst = max(lines, key=lambda line: inf if isnan(line.difference) else line.difference / line.bound)
    print(
        f"NOT the same, {worst.what} by {worst.difference:.3g} where {worst.bound:.3g} is allowed: do not use {place}"
    )
    return FAILED


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "export",
        "SRC DST --to FORMAT",
        "Write a checkpoint as a file that another runtime executes.",
        _EXAMPLE,
    )
    parser.add_argument("source", metavar="SRC", help=SOURCE)
    parser.add_argument("target", metavar="DST", help="folder to write; SRC itself gets the files beside its own")
    add = parser.add_argument_group("format").add_argument
    add("--to", choices=tuple(TARGETS), required=True, help="the runtime's format")
    dtypes = tuple(dict.fromkeys(dtype for target in TARGETS.values() for dtype in target.bounds))
    text = "of the weights; int8 computes in 8 bits, int8-weights stores so (for OpenVINO); default: float32"
    add("--dtype", choices=dtypes, default="float32", help=text)
    add("--ids", choices=("int64", "int32"), default="int64", help="type of the inputs of ONNX; default: int64")
    text = "version of ONNX's operators, 20 to 22; default: 20"
    add("--opset", type=int, metavar="N", help=text)
    add = parser.add_argument_group("model").add_argument
    text = f"one of {', '.join((BACKBONE.name, *TASKS))}; default: that of SRC's head"
    add("--task", choices=(BACKBONE.name, *TASKS), metavar="TASK", help=text)
    text = "of the backbone: also return a vector of each text, sentence_embedding; default: none"
    add("--pooling", choices=("cls", "mean", "max"), help=text)
    add("--normalize", action="store_true", help="divide that vector by its length")
    add = parser.add_argument_group("checks").add_argument
    add("--verify", action="store_true", help="compare the outputs of the file with the float64 reference")
    add("--verify-only", action="store_true", help="write nothing: compare the file that is in DST")
    add("--force", action="store_true", help="replace the file in DST")
    return parser
