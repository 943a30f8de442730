"""What users of transformers and sentence-transformers write at pipelines. The models are scripted."""

import json

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, DebertaWarning, InputError
from deberta_core.names.pipelines import PIPELINE_OPTIONS, PIPELINE_TASKS
from deberta_core.names.rows import Refused
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines import (
    PIPELINES,
    AggregationStrategy,
    FeatureExtractionPipeline,
    FillMaskPipeline,
    PipelineException,
    QuestionAnsweringPipeline,
    SentenceEmbeddingsPipeline,
    TextClassificationPipeline,
    TokenClassificationPipeline,
    ZeroShotClassificationPipeline,
)
from deberta_dual.pipelines.factory import known_task
from deberta_dual.pipelines.sentence_modules import module_options

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
TAGS = {0: "O", 1: "B-LOC", 2: "I-LOC"}
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
KIND = {"text": "label score", "token": "entity score index word start end"}


@pytest.fixture
def make(small_tokenizer):
    """Makes a pipeline whose outputs are numbers of a row: of its tokens' ids, so that no two texts are alike."""

    def build(cls, **options):
        labels = {TokenClassificationPipeline: TAGS, ZeroShotClassificationPipeline: NLI}
        config = DebertaV2Config(
            vocab_size=len(small_tokenizer),
            **SIZES,
            position_biased_input=False,
            id2label=options.pop("id2label", labels.get(cls, {0: "no", 1: "yes"})),
        )
        sizes = {
            "logits": len(small_tokenizer) if cls is FillMaskPipeline else config.num_labels,
            "last_hidden_state": 8,
        }

        def values(ids, size):
            return np.cos(ids[..., None] * np.arange(1, size + 1)).astype("float32")

        def run(inputs, places):
            ids, mask = inputs["input_ids"], inputs["attention_mask"]
            if cls is QuestionAnsweringPipeline:
                return {f"{end}_logits": 3 * np.cos(ids * number) for number, end in enumerate(("start", "end"), 2)}
            if places is not None:
                return {"logits": values(places[:, 1], sizes["logits"])}
            if cls.model_task == "sequence_classification":
                return {"logits": values((ids * mask).sum(axis=1), config.num_labels)}
            name = "logits" if cls.model_task else "last_hidden_state"
            return {name: values(ids, sizes[name])}

        return cls(ArrayModel(config, cls.model_task, run), small_tokenizer, **options)

    return build


def keys(results):
    return {" ".join(sorted(result)) for result in results}


def test_names_of_tasks():
    for name, row in PIPELINE_TASKS.items():
        assert known_task(name) == row.ours in PIPELINES
    with pytest.raises(KeyError, match="task='nonsense' is unknown"):
        known_task("nonsense")


def test_shapes_of_text_classification(make, prose):
    run = make(TextClassificationPipeline)
    one = run({"text": prose[0]})
    every = run(prose[0], top_k=None)
    assert keys([one, *every]) == {"label score"}
    assert run(prose[0]) == [one] == run(prose[0], top_k=1) == run([prose[0]])
    assert run(prose[:2]) == [one, run({"text": prose[1]})] == list(run(text for text in prose[:2]))
    assert [found["score"] for found in every] == sorted((found["score"] for found in every), reverse=True)
    assert run(prose[:2], top_k=2) == [every, run(prose[1], top_k=None)]
    assert make(TextClassificationPipeline, top_k=None)(prose[0]) == [every]


def test_old_names_of_all_scores(make, prose):
    run = make(TextClassificationPipeline)
    with pytest.warns(DebertaWarning, match="return_all_scores is an old name"):
        (found,) = run(prose[0], return_all_scores=True)
    assert [one["label"] for one in found] == ["no", "yes"]  # in the model's order
    with pytest.warns(DebertaWarning):
        assert run(prose[:2], return_all_scores=False) == run(prose[:2])
    assert run(prose[0], function_to_apply="SOFTMAX") == run(prose[0])


def test_pairs_in_every_form(make, prose):
    run = make(TextClassificationPipeline, truncation=True)
    one = run({"text": prose[0], "text_pair": prose[1]})
    pair = prose[:2]
    assert run(tuple(pair)) == one != run(prose[0])[0]
    assert run([pair]) == run([tuple(pair)]) == run([[pair]]) == run(prose[0], text_pair=prose[1]) == [one]
    assert run([pair, tuple(pair), prose[0]]) == [one, one, *run(prose[0])]
    with pytest.raises(InputError, match=r"of 3 texts\. A pair has two"):
        run([prose[:3]])


def test_an_empty_text_is_a_text(make, prose):
    assert len(make(TextClassificationPipeline)(["", prose[0], " "])) == 3
    assert make(TokenClassificationPipeline)(["", prose[0]], ignore_labels=[])[0] == []
    assert make(SentenceEmbeddingsPipeline)("").shape == (8,)
    assert np.shape(make(FeatureExtractionPipeline)("")) == (1, 2, 8)
    with pytest.raises(PipelineException, match=r"holds no \[MASK\]"):
        make(FillMaskPipeline)("")
    for cls, wrong in (
        (ZeroShotClassificationPipeline, ""),
        (QuestionAnsweringPipeline, {"question": "", "context": "a"}),
    ):
        with pytest.raises(ValueError, match="is empty"):
            make(cls, **({"candidate_labels": "a"} if isinstance(wrong, str) else {}))(wrong)


def test_cutting(make, prose):
    run = make(TextClassificationPipeline)
    long = " ".join(prose)
    cut = run.tokenizer(long, truncation=True, max_length=20)["input_ids"]
    assert run(long, truncation=True, max_length=20) == run(run.tokenizer.decode(cut[1:-1]))
    assert run(long, truncation=False) != run(long, truncation=True)
    assert run(prose[0], padding="max_length", num_workers=3, batch_size=1) == run(prose[0])
    with pytest.raises(InputError, match="truncation='shortest' is unknown"):
        run(long, truncation="shortest")


def test_cross_encoder(make, prose):
    run = make(TextClassificationPipeline, id2label={0: "LABEL_0"}, truncation=True)
    pairs = [(prose[0], text) for text in prose[1:5]]
    scores = run.predict(pairs, show_progress_bar=False)
    assert (scores.shape, scores.dtype) == ((4,), np.float32)
    assert_close(scores, np.array([one["score"] for one in run(pairs)]), quantity="logits", name="scores")
    assert run.predict(pairs[0]) == scores[0]
    ranked = run.rank(prose[0], prose[1:5], top_k=3, return_documents=True)
    order = np.argsort(-scores, kind="stable")[:3].tolist()
    assert [(one["corpus_id"], one["text"]) for one in ranked] == [(number, prose[1:5][number]) for number in order]
    assert run.predict(prose[:2]) == run.transform(prose[:2]) == run(prose[:2])  # texts, as scikit-learn asks
    several = make(TextClassificationPipeline, truncation=True)
    logits = [[one["score"] for one in row] for row in several(pairs, top_k="all", function_to_apply="none")]
    assert_close(several.predict(pairs), np.array(logits), quantity="logits", name="scores")
    assert several.predict(pairs, apply_softmax=True).sum(axis=1).round(5).tolist() == [1] * 4
    with pytest.raises(InputError, match="rank needs a model of one class, and this one has 2"):
        several.rank("a", ["b"])


def test_steps(make, prose):
    run = make(TextClassificationPipeline)
    inputs = run.preprocess(prose[0])
    assert inputs["input_ids"].tolist() == [run.tokenizer(prose[0])["input_ids"]]
    outputs = run.forward(inputs)
    assert outputs["logits"].shape == (1, 2)
    assert [run.postprocess(outputs)] == run(prose[0])
    answer = make(QuestionAnsweringPipeline, max_seq_len=40, doc_stride=8)
    asked = {"question": "What?", "context": " ".join(prose[:3])}
    rows = [answer.forward(row) for row in answer.preprocess(asked)]
    assert len(rows) > 2
    assert answer.postprocess(rows, top_k=3) == answer(asked, top_k=3)
    with pytest.raises(TypeError, match="takes what forward returned"):
        run.postprocess([3])


def test_zero_shot_forms(make, prose):
    run = make(ZeroShotClassificationPipeline)
    expected = run(prose[0], candidate_labels=["river", "mill"])
    assert run(prose[0], ["river", "mill"]) == run(sequences=prose[0], candidate_labels="river, mill") == expected
    assert run([prose[0]], ["river", "mill"]) == [expected]
    assert run.entailment_id == 2
    with pytest.warns(DebertaWarning, match="multi_class is an old name. Use multi_label"):
        assert run(prose[0], "river, mill", multi_class=True) == run(prose[0], "river, mill", multi_label=True)
    for wrong in ({"inputs": None, "candidate_labels": "a"}, {"inputs": "a", "candidate_labels": None}):
        with pytest.raises(TypeError):
            run(**wrong)
    with pytest.raises(AttributeError, match="hypothesis_template=None is no text"):
        run("a", "b", hypothesis_template=None)


def test_question_answering_forms(make):
    run = make(QuestionAnsweringPipeline)
    question, context = "Who is old?", "The stone is old. The river is not."
    one = run({"question": question, "context": context})
    assert context[one["start"] : one["end"]] == one["answer"]
    sample = QuestionAnsweringPipeline.create_sample(question, context)
    for found in (run(question, context), run(question=question, context=context), run(sample), run([sample])):
        assert found == one
    assert run(X={"question": question, "context": context}) == run(data=[sample]) == one
    samples = QuestionAnsweringPipeline.create_sample([question] * 2, [context] * 2)
    assert run(samples) == run(question=[question] * 2, context=context) == [one, one]
    with pytest.warns(DebertaWarning, match="topk is an old name"):
        several = run(question, context, topk=6)
    assert len({answer["answer"].lower() for answer in several}) == len(several) > 2
    assert run("Who is old? " + "Who? " * 9, context, max_question_len=len(run.tokenizer.tokenize(question))) == one


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (({"context": "a"},), KeyError),
        (([{"question": "a"}],), KeyError),
        ((None,), ValueError),
        ((1,), ValueError),
        (("a", None), ValueError),
        ((["a", "b"], ["c"]), ValueError),
        (({"This": "is odd"}, "a"), ValueError),
        ((), ValueError),
    ],
)
def test_question_answering_errors(make, arguments, error):
    with pytest.raises(error):
        make(QuestionAnsweringPipeline)(*arguments)


def test_answers_are_whole_words(make, small_byte_tokenizer):
    for tokenizer, words in (
        (None, {"stone,", "riverbank."}),
        (small_byte_tokenizer, {"stone", ",", "riverbank", "."}),
    ):
        run = make(QuestionAnsweringPipeline)
        run.tokenizer = tokenizer or run.tokenizer
        text = "stone, riverbank."
        found = run("Who?", text, top_k=30, max_answer_len=1, align_to_words=True)
        assert {answer["answer"] for answer in found} == words


def test_fill_mask_forms(make, small_tokenizer):
    run = make(FillMaskPipeline)
    text = "The [MASK] is old."
    assert keys(run(text)) == {"score sequence token token_str"}
    assert run([text]) == run(text)
    assert run([text, text]) == [run(text)] * 2
    entries = sorted(small_tokenizer.get_vocab())[:3]
    found = run(text, targets=[*entries, entries[0]], top_k=10)
    assert {one["token"] for one in found} == {small_tokenizer.get_vocab()[entry] for entry in entries}
    assert len(found) == 3
    long = text + " It is old." * 100
    cut = {"truncation": True, "max_length": 20}
    assert run(long, tokenizer_kwargs=cut) == make(FillMaskPipeline, tokenizer_kwargs=cut)(long)
    for wrong in ([], [""], ""):
        with pytest.raises(ValueError, match="targets="):
            run(text, targets=wrong)
    with pytest.raises(ValueError, match="text is None"):
        run([None])


def test_token_classification_forms(make, prose):
    run = make(TokenClassificationPipeline)
    words = ["Hello", "old", "river"]
    (found,) = run(words, is_split_into_words=True, ignore_labels=[], aggregation_strategy="first")
    assert all(" ".join(words)[one["start"] : one["end"]] == one["word"] for one in found)
    both = run([words, words[1:]], is_split_into_words=True, ignore_labels=[], delimiter="--")
    assert [len(one) for one in both] == [
        len(run.tokenizer(" ".join(part)).input_ids) - 2 for part in (words, words[1:])
    ]
    assert run({"words": words}) == run([words], is_split_into_words=True)[0]
    with pytest.raises(ValueError, match="give a list of words"):
        run("a text", is_split_into_words=True)
    count = len(run.tokenizer(prose[0])["input_ids"])
    places = [(number, number + 1) for number in range(count)]
    own = run(prose[0], offset_mapping=places, ignore_labels=[])
    assert [(one["start"], one["end"]) for one in own] == places[1:-1]
    with pytest.raises(ValueError, match="offset_mapping is of 1 texts, and there are 2"):
        run(prose[:2], offset_mapping=places)
    with pytest.raises(ValueError, match="offset_mapping has 3 places for"):
        run(prose[0], offset_mapping=places[:3])


def test_old_names_of_strategies(make, prose):
    run = make(TokenClassificationPipeline)
    for old, new in (({"grouped_entities": True}, "simple"), ({"grouped_entities": False}, "none")):
        with pytest.warns(DebertaWarning, match="grouped_entities is an old name. Use aggregation_strategy"):
            assert run(prose[0], **old) == run(prose[0], aggregation_strategy=new)
    with pytest.warns(DebertaWarning):
        first = run(prose[0], grouped_entities=True, ignore_subwords=True)
    assert first == run(prose[0], aggregation_strategy=AggregationStrategy.FIRST)
    assert run(prose[0], aggregation_strategy="FIRST") == first


def test_aggregation_of_given_tokens(make):
    run = make(TokenClassificationPipeline)
    scores = ([0, 0.55, 0.45], [0, 0.2, 0.8], [0.6, 0, 0.4])
    words = (("▁ri", False, 0, 2), ("ver", True, 2, 5), ("ld", True, 5, 7))
    tokens = [
        {"scores": np.array(row), "index": number, "word": word, "is_subword": part, "start": start, "end": end}
        for number, (row, (word, part, start, end)) in enumerate(zip(scores, words, strict=True), 1)
    ]
    assert [one["entity"] for one in run.aggregate(tokens, "none")] == ["B-LOC", "I-LOC", "O"]
    expected = {"first": 0.55, "max": 0.8, "average": 0.55}
    for strategy, score in expected.items():
        (found,) = run.aggregate(tokens, strategy)
        assert (found["entity_group"], found["word"], found["start"], found["end"]) == ("LOC", "riverld", 0, 7)
        assert round(found["score"], 6) == score


def test_features_are_lists(make, prose):
    run = make(FeatureExtractionPipeline)
    count = len(run.tokenizer(prose[0])["input_ids"])
    found = run(prose[0])
    assert isinstance(found[0][0][0], float)
    assert np.shape(found) == (1, count, 8)
    assert run(prose[:2])[0] == found
    assert run(prose[0], return_tensors="np").tolist() == found
    assert np.shape(run(prose[0], tokenize_kwargs={"max_length": 3, "truncation": True})) == (1, 3, 8)
    assert np.shape(run("old", tokenize_kwargs={"max_length": 12, "padding": "max_length"})) == (1, 12, 8)
    with pytest.raises(ValueError, match="truncation is given twice"):
        run(prose[0], truncation=True, tokenize_kwargs={"truncation": True})
    cut = {"max_length": 3, "truncation": True}
    assert np.shape(make(FeatureExtractionPipeline, tokenize_kwargs=cut)(prose[0])) == (1, 3, 8)
    with pytest.warns(DebertaWarning, match="Use tokenize_kwargs"):
        assert np.shape(run(prose[0], tokenizer_kwargs=cut)) == (1, 3, 8)
    with pytest.raises(ValueError, match="Did you mean 'max_length'"):
        make(FeatureExtractionPipeline, tokenize_kwargs={"max_lenght": 3})


def test_a_data_set_that_is_only_indexed(make, prose):
    class Data:
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return prose[number]

    run = make(TextClassificationPipeline)
    assert list(run(Data())) == run(prose[:3])


def test_arguments_of_the_classes(make, prose):
    with pytest.raises(InputError, match=r"option 'config' is not taken\. Load the model with it"):
        make(TextClassificationPipeline, config={})
    accepted = [
        name for name, row in PIPELINE_OPTIONS.items() if not isinstance(row, Refused) and name != "use_auth_token"
    ]
    run = make(TextClassificationPipeline, **dict.fromkeys(accepted))
    assert repr(run) == (
        "TextClassificationPipeline(task='text-classification', model=ArrayModel, tokenizer=DebertaV2Tokenizer, "
        "framework=None, device='None')"
    )
    with pytest.raises(InputError, match=r"option 'truncating' is unknown\. Did you mean 'truncation'"):
        run(prose[0], truncating=True)
    with pytest.raises(InputError, match="an ArrayModel, which cannot be saved"):
        run.save_pretrained("nowhere")


@pytest.fixture
def sentence_folder(tmp_path):
    """Writes files of sentence-transformers into a folder."""

    def write(pooling, *, modules=("Transformer", "Pooling", "Normalize"), length=128):
        paths = {"Transformer": ""}
        listed = [
            {"idx": number, "path": paths.get(kind, f"{number}_{kind}"), "type": f"sentence_transformers.models.{kind}"}
            for number, kind in enumerate(modules)
        ]
        (tmp_path / "modules.json").write_text(json.dumps(listed))
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
        (tmp_path / "1_Pooling").mkdir(exist_ok=True)
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        return tmp_path

    return write


def test_files_of_sentence_transformers(sentence_folder, tmp_path):
    switches = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 8}
    assert module_options(sentence_folder(switches)) == {"pooling": "first", "normalize": True, "max_length": 128}
    plain = sentence_folder({"pooling_mode": "mean"}, modules=("Transformer", "Pooling"), length=None)
    assert module_options(plain) == {"pooling": "mean"}
    for weighted in ({"pooling_mode": "weightedmean"}, {"pooling_mode_weightedmean_tokens": True}):
        assert module_options(sentence_folder(weighted))["pooling"] == "weighted"
    with pytest.raises(InputError, match="asks for pooling_mode_lasttoken; known are"):
        module_options(sentence_folder({"pooling_mode_lasttoken": True}))
    with pytest.raises(InputError, match="modules that are not computed here: Dense"):
        module_options(sentence_folder(switches, modules=("Transformer", "Pooling", "Dense")))
    (tmp_path / "modules.json").write_text("3")
    with pytest.raises(InputError, match=r"modules\.json is not a list"):
        module_options(tmp_path)
