"""The page `docs/performance.md`, made of `docs/performance.json` and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from tools.benchmark import claims, tables, winners
from tools.benchmark.figures import figures
from tools.benchmark.libraries import ENVIRONMENTS
from tools.benchmark.tables import distinct
from tools.benchmark.tokenization import table as tokenization_table

Row = dict[str, Any]
HEAD = """# Performance

How fast this library is on a processor without a GPU, beside the other ways to run DeBERTa. This page, its plots and
`performance.json`, which holds every number with its quartiles, are written by `python -m tools.benchmark`; no sentence
that claims something was written by hand, but those of "What was tried and not won".
"""
METHOD = """## How it was measured

* Every library computes in a process of its own, with the same inputs and, where it can read them, the same weights.
  One process computes at a time, and the others wait without using the processor.
* Subjects take turns, in every round in another order. Times are medians; a ratio is the median of the ratios to the
  baseline in the same round, so that what slows the machine down for a while does not favour anyone.
* Memory is the peak of the second call, beyond what the process held when the model was ready and not called yet.
* The difference is the largest one of the last hidden states to the baseline's, in absolute value.
* "oneDNN flag" is `torch.backends.mkldnn.matmul.fp32_precision = "bf16"`, which any user can set. Some processors then
  round float32 products to bfloat16, so that this library never sets it by itself.
* "Linear layers alone" are the products with the weights of the encoder, packed, and nothing else: a limit for whoever
  computes them with oneDNN.

## What was tried and not won

On Zen 4, one thread beside other programs, by processor time; the limit is that of the linear layers alone.

* One text of 16 tokens, optimized: float32 takes the time of its linear layers to 5 %, int8 reaches 0.7 of its limit.
  Half of the calls of operators (323 in 4 layers, before 615) were worth 1 % and 10 %. The rest is memory: 28 MB of
  weights a layer.
* The same beside our graph in ONNX Runtime, which is 1.2 times as fast there: the calls between the linear layers are
  at most those 5 %. Products of the same shapes alone take 0.91 of the time in ONNX Runtime; the rest was not found.
* 8 × 128 in float32 stays at 0.87 of the limit: the products with positions are a seventh of the work of the linear
  layers, of which half is read. Smaller blocks of keys or queries (64 to 512) took as long within 3 %. Texts of mixed
  lengths stay at 0.87, too, on Zen 3; the bar was 0.9.
* The model as it is, not optimized, should be 1.3 times as fast as transformers 4 everywhere. On Zen 3 it is 1.24 to
  1.33 times at 1 × 128, and 1.30 to 1.33 at 8 × 128, in three runs side by side.
* v1 of the model as it is at 1 × 16 stays at 1.2 times transformers' speed.
* Training at 2 × 512 with the oneDNN flag is slower than without: the small products of one head go through oneDNN
  then, which is the slower library for them. At 8 × 128 in float32 a step takes 0.8 of transformers' time: linear
  layers, which both have, are two thirds of it.
* Attention of one head at a time takes 1.05 times less at 8 × 128, and 1.2 times less at 2 × 512, by parts of 64 and of
  128 tokens whose products are added to the scores. Parts of 32, softmax in place, products written into the context,
  and transposes laid out first gained nothing more; in bfloat16 parts below 256 lose.
* v1 at 1 × 16 as it is reads 28 MB of weights a layer as they lie in memory, where oneDNN is 1.13 times as fast as MKL;
  with packed weights it is 1.4 times. Rows of positions kept between calls would save a seventh, but would not notice a
  weight that was changed through `.data`.
* Our graph in ONNX Runtime, on Zen 3: with a gather of single position scores in place of two slices the model takes
  1.12 times as long at 8 × 128 in 8 bits (one thread); a gather of whole rows won (see
  `deberta_dual.exporting.attention_graph`). To tell the runtime the shape of every sum gained nothing.
* One text of 128 tokens in 8 bits, on Zen 3, is 1.18 times as fast as the best of the others in pairs of short turns
  (132 pairs, within 0.01), and not 1.2. Products of linear layers, which ONNX Runtime computes alike in anybody's
  graph, take 0.68 to 0.72 of our graph's time; in 8 bits they do 32 multiplications a cycle, which is all that AVX2
  gives. Left out for a try, the mask, the transposed scores or the gather of distances gain at most 1 % each, and
  GELU 2 %. `MatMulNBits` with 8 or 4 bits has 0.4 or 0.6 of the speed; block sizes, affinities and work stealing of
  the runtime, and a fixed shape, gain nothing.
* The encoder with tokens before texts, `[L, B, C]`, so that ONNX Runtime reads heads without a copy, on Zen 3: 1.02
  to 1.04 times as fast for one text there, and 0.95 to 1.00 times in OpenVINO, which is the faster of the two for one
  text on Zen 4.
* `compile()` may choose by the least tenth of its turns, or by the median of the ratios of each round. The second erred
  less where a call takes half a second (0 of 32 windows of 9 rounds were more than 5 % off, against 1), and made
  OpenVINO seem 1.7 times as slow as ONNX Runtime at 1 × 16, where it is 1.2 times: threads of the call before were
  still awake then. The first stayed, and every turn begins with a rest now.
* `quantized.linear_dynamic` with a GELU after it loses to one product with the GELU within, from 256 tokens on.
* Reading a file of weights by threads, or into large pages, took 50 to 930 ms of processor time for 345 MB; mapping it
  took 10.

## What this does not say

* These are few machines. Ratios differ between processors, above all with their instructions for bfloat16 and int8.
* Weights are random; int8 on trained weights has other errors.
* GPUs have [a page of their own](gpu.md).
"""
# Section -> heading, and what is measured in it; `{...}` are fields of its facts.
SECTIONS = {
    "inference": (
        "Inference",
        "Columns are batch × length, all texts of full length. ONNX Runtime and OpenVINO run what PyTorch exports of "
        "transformers' model for that shape alone. The first line is the time of the baseline, the others say how many "
        "times as fast.",
    ),
    "side_by_side": (
        "Side by side",
        "Every way of ours beside every way of others, all texts of full length; columns are batch × length. ONNX "
        "Runtime and OpenVINO alone run what PyTorch exports of transformers' model: one graph of every shape, or with "
        '"fixed shape" one for that shape alone; ours is one graph of every shape, and "fixed shape" tells the runtime '
        "the shape when it loads it. {what} The first line is the time of the baseline, the others say how many times "
        "as fast.",
    ),
    "transformers_optimized": (
        "transformers' models, optimized",
        "`deberta_torch.optimize` on transformers' own `DebertaV2Model`, whose parameters, outputs and everything else "
        "stay; all texts of full length, and {threads} thread(s). Other programs ran beside it: the ratios "
        "tell more than the times.",
    ),
    "mixed_lengths": (
        "Texts of mixed lengths",
        "{texts} texts of lognormal length, {tokens:,} tokens, the longest of {longest}, in batches of {batch}. Padded "
        "to the longest of their batch they are {padded:,} as they come and {padded_sorted:,} sorted by length. The "
        "optimized encoder takes out the padding by itself.",
    ),
    "training": (
        "Training",
        "A step of AdamW with dropout of 0.1: forward, backward, update. The masked language model has the full "
        "vocabulary of 128,100 and labels at 15 % of the positions. Memory is that of fresh processes.",
    ),
    "pretraining": (
        "Pretraining",
        "A step of replaced-token detection: a generator of half of the layers, masks at 15 % of the tokens, draws "
        "from its predictions, a discriminator, and a step of AdamW for each; dropout of 0.1, {threads} thread(s). "
        "transformers has no such step: theirs is made of `DebertaV2ForMaskedLM` and "
        '`DebertaV2ForTokenClassification`, without the enhanced decoder and with two tables, as is the line "ours, as '
        'theirs". The last lines make the rows of as many tokens, in a process of their own. Other programs ran beside '
        "it: the ratios tell more than the times.",
    ),
    "keras_models": (
        "Keras",
        "TensorFlow backend; `predict_on_batch` and `train_on_batch`, and for inference with transformers 4 a "
        '`tf.function`. "auto" leaves it to Keras whether to use XLA.',
    ),
    "loading": (
        "Loading",
        "From `from_pretrained` to the first answer, with the vocabulary of 128,100, in fresh processes after all "
        "imports; memory is beyond the imports.",
    ),
    "exports": (
        "Exports",
        "Writing v3-base with the vocabulary of 128,100, from the checkpoint to files that other runtimes execute; and "
        "from loading such files to the first answer, of 1 × 16, whose difference is that to the float64 reference, by "
        "its largest number. Fresh processes after all imports; memory is beyond the imports.",
    ),
    "streaming": (
        "Many lines",
        "`deberta run` with a text classifier, a vocabulary of up to {vocabulary:,}, and random weights, over lines, "
        "from the start of the process to its end; and the model alone, on the same batches, made beforehand. "
        "{shapes}.",
    ),
    "tokenization": (
        "Tokenization",
        "{count} lines of text, {characters:,} characters; how many times as fast as transformers' slow and fast "
        "classes.",
    ),
    "conversion": (
        "Conversion",
        "A random {preset} of {size:.2f} GB from safetensors to another format and back; copying the file took "
        "{copy:.2f} s.",
    ),
}


def page(data: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD, _where(data) or "Nothing has been measured yet.\n"]
    drawn = list(figures(data))
    for name, found in data["sections"].items():
        title, text = SECTIONS[name]
        parts.append(f"## {title}\n")
        parts.append(text.format(**found["facts"]) + _layers(found["rows"]) + _apart(found["rows"]) + "\n")
        parts += [f"{part}\n" for part in BODIES.get(name, _measured)(name, found, drawn)]
        missing = list(_left_out(found["left_out"]))
        if missing:
            parts.append("Not measured:\n\n" + "\n".join(missing) + "\n")
        parts += [f"{part}\n" for other in data.get("elsewhere", {}).get(name, []) for part in _elsewhere(name, other)]
    return "\n".join([*parts, METHOD])


def _layers(rows: Sequence[Row]) -> str:
    """Which cells have how many layers."""
    if not all("layers" in row for row in rows):
        return ""
    numbers = distinct(rows, "layers")
    if len(numbers) == 1:
        return f" Layers: {numbers[0]}."
    cells = {number: distinct([row for row in rows if row["layers"] == number], "cell") for number in numbers}
    listed = [f"{number} at {', '.join(found)}" for number, found in cells.items()]
    return f" Layers: {'; '.join(listed)}."


def _apart(rows: Sequence[Row]) -> str:
    """Which cells were measured one subject after the other."""
    cells = distinct([row for row in rows if row.get("apart")], "cell")
    if not cells:
        return ""
    return f" At {', '.join(cells)} subjects did not take turns: they need too much memory beside each other."


def _where(data: dict[str, Any]) -> str:
    """Machines and versions, with the sections that were measured there."""
    places: dict[str, list[str]] = {}
    for name, found in data["sections"].items():
        lines = [f"{found['machine']}; {', '.join(found['features']) or 'features unknown'}; {_rounds(found)}."]
        lines += [f"* {found['threads']}"] if "threads" in found else []
        for taken, what in ((True, "ways of ours that were timed"), (False, "ways not taken on this processor")):
            ways = [way for way, is_taken in found.get("routes", {}).items() if is_taken == taken]
            lines += [f"* {what}: {', '.join(ways)}"] if ways else []
        for environment, versions in found["versions"].items():
            listed = ", ".join(f"{package} {version}" for package, version in versions.items())
            lines.append(f"* {ENVIRONMENTS[environment][0]}: {listed}")
        if found["left_out"]:  # a section may need none of them
            missing = [what for name, (what, _) in ENVIRONMENTS.items() if name not in found["versions"]]
            lines += [f"* not there: {what}" for what in missing]
        places.setdefault("\n".join([lines[0], "", *lines[1:]]), []).append(SECTIONS[name][0])
    return "\n".join(f"**{', '.join(names)}**: {text}\n" for text, names in places.items())


def _measured(name: str, found: dict[str, Any], drawn: Sequence[tuple[str, str, str, list[Row]]]) -> Iterator[str]:
    rows = found["rows"]
    groups = distinct(rows, "group")
    claimed = claims.sentences(name, rows)
    if claimed:
        yield "\n".join(f"* {sentence}" for sentence in claimed)
    for group in groups:
        chosen = [row for row in rows if row["group"] == group]
        if len(groups) > 1:
            yield f"### {group}"
        if len(distinct(chosen, "cell")) == 1:
            yield tables.down(chosen)
        else:
            yield tables.across(chosen, tables.speed)
            if any(tables.memory(row) for row in chosen):
                yield "Memory in MB:"
                yield tables.across(chosen, tables.memory)
        yield from (f"![{name}, {group}](images/{file})" for at, of, file, _ in drawn if (at, of) == (name, group))
    worst = tables.largest_differences(rows)
    if worst and len(distinct(rows, "cell")) > 1:
        yield "Largest differences:"
        yield tables.across(worst, tables.difference, "group")
    if claims.spread(rows):
        yield claims.spread(rows)


def _elsewhere(name: str, found: dict[str, Any]) -> Iterator[str]:
    """What was measured last on another processor, in short; all of it is in `performance.json`."""
    claimed = claims.sentences(name, found["rows"])
    said = ["\n".join(f"* {sentence}" for sentence in claimed)] if claimed else []
    if name == "side_by_side":
        said = list(itertools.islice(winners.body(found["rows"]), 2))
    if said:
        yield f"### {SECTIONS[name][0]}, as last measured on another processor"
        yield f"{found['machine']}; {', '.join(found['features'])}; {_rounds(found)}.{_layers(found['rows'])}"
        yield from said


def _rounds(found: dict[str, Any]) -> str:
    return "1 round" if found["rounds"] == 1 else f"{found['rounds']} rounds"


def _tokenization(name: str, found: dict[str, Any], drawn: Any) -> Iterator[str]:
    yield tokenization_table(found["rows"])


def _conversion(name: str, found: dict[str, Any], drawn: Any) -> Iterator[str]:
    yield tables.conversions(found["rows"])
    came_back = "bit for bit those that left" if found["facts"]["same"] else "NOT those that left"
    yield f"The numbers that came back are {came_back}."


def _side_by_side(name: str, found: dict[str, Any], drawn: Sequence[tuple[str, str, str, list[Row]]]) -> Iterator[str]:
    yield from winners.body(found["rows"])
    yield from (f"![{name}, {group}](images/{file})" for section, group, file, _ in drawn if section == name)
    yield claims.spread(found["rows"])


BODIES = {"side_by_side": _side_by_side, "tokenization": _tokenization, "conversion": _conversion}


def _left_out(entries: Sequence[dict[str, str]]) -> Iterator[str]:
    """A line per reason and subject; cells are named as long as they are few."""
    few = 3
    places: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        places.setdefault((entry["subject"], entry["reason"]), []).append(entry["cell"])
    for (subject, reason), cells in places.items():
        listed = "; ".join(cells) if len(cells) <= few else f"{len(cells)} cells"
        yield f"* {subject} ({listed}): {' '.join(reason.split())[:200]}"
