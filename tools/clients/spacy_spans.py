"""spaCy, and what else works by offsets: entities of our token-classification pipeline as spans of a Doc."""

from __future__ import annotations

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from deberta_dual import pipeline
from tools.clients.report import report
from tools.clients.tiny import TEXTS, make

ENVIRONMENTS = ("hf5",)


def main() -> None:
    """A component of a blank pipeline, alone and in `nlp.pipe`."""
    model, tokenizer = make("ForTokenClassification", id2label={0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"})
    ner = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first")

    @Language.component("deberta_entities")  # type: ignore[untyped-decorator] # of an environment of its own
    def add_entities(doc: Doc) -> Doc:
        spans = [
            doc.char_span(one["start"], one["end"], label=one["entity_group"], alignment_mode="expand")
            for one in ner(doc.text)
        ]
        doc.set_ents(spacy.util.filter_spans(spans))
        return doc

    nlp = spacy.blank("en")
    nlp.add_pipe("deberta_entities")
    texts = [*TEXTS, "Zoë  wrote\tto Łódź,\n🙂 and 東京."]
    total = 0
    for text, doc in zip(texts, nlp.pipe(texts), strict=True):
        found = ner(text)
        assert all(one["word"] == text[one["start"] : one["end"]] for one in found)
        exact = [doc.char_span(one["start"], one["end"], label=one["entity_group"]) for one in found]
        assert set(filter(None, exact)) <= set(doc.ents), text
        for entity, one in zip(doc.ents, found, strict=False):
            assert entity.start_char <= one["start"] < one["end"] <= entity.end_char
        total += len(doc.ents)
    assert total > len(texts), total
    report("spacy", ["entities by offsets into a Doc, as a component of a blank pipeline, and nlp.pipe"])


if __name__ == "__main__":
    main()
