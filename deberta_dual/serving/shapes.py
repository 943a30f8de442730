"""The bodies of requests and answers, by the names of text-embeddings-inference, Hugging Face and OpenAI."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# A text, or the ids of its tokens, which are decoded.
Text = str | Annotated[list[int], Field(min_length=1)]
Pair = Annotated[list[str], Field(min_length=1, max_length=2)]
ModelName = Annotated[str | None, Field(description="name of the model; default: the first one")]
Prompt = Annotated[str | None, Field(description="prompt of sentence-transformers to put first")]
Truncate = Annotated[
    bool | None, Field(description="cut texts that are too long, or refuse them; default: the server's")
]


class Body(BaseModel):
    """What every request may have."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: ModelName = None


class HubOptions(BaseModel):
    """What Hugging Face's Inference API was asked for besides; a model is loaded here, and no answer is kept."""

    model_config = ConfigDict(extra="forbid")

    use_cache: bool | None = None
    use_gpu: bool | None = None
    wait_for_model: bool | None = None


class HubBody(Body):
    """What every request may have that can be one of Hugging Face's Inference API."""

    parameters: Annotated[
        dict[str, Any] | None,
        Field(description="other fields of this body, as the Inference API has them; the answer has its shape, too"),
    ] = None
    options: Annotated[HubOptions | None, Field(description="of the Inference API; changes nothing")] = None

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, given: Any) -> Any:
        """Puts the parameters among the other fields, by our names."""
        inner = given.get("parameters") if isinstance(given, dict) else None
        if not isinstance(inner, dict):
            return given
        named = {_PARAMETERS.get(name, name): value for name, value in inner.items() if value is not None}
        twice = given.keys() & named.keys() & cls.model_fields.keys()
        if twice:
            raise ValueError(f"{min(twice)} is given twice, by itself and in parameters. Give it once")
        return {**given, **named, "parameters": {}}


# Names of the Inference API, and ours.
_PARAMETERS = {"truncation": "truncate"}


class CutBody(HubBody):
    """What every request may have whose texts can be cut."""

    truncate: Truncate = None
    truncation_direction: Annotated[
        Literal["right", "Right", "left", "Left"], Field(description="which end of a text is cut")
    ] = "right"


def _example(**body: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", protected_namespaces=(), json_schema_extra={"examples": [body]})


class EmbedBody(CutBody):
    """One text or several."""

    model_config = _example(inputs=["What is deep learning?", "A kind of machine learning."])

    inputs: Annotated[Text | Annotated[list[Text], Field(min_length=1)], Field(union_mode="left_to_right")]
    normalize: Annotated[bool, Field(description="scale vectors to length 1")] = True
    prompt_name: Prompt = None
    encoding_format: Literal["float"] = "float"
    dimensions: Annotated[int | None, Field(ge=1, description="numbers of a vector to keep; default: all")] = None


class PredictBody(CutBody):
    """One text, one pair of texts, or a list of lists of one or two texts."""

    model_config = _example(inputs=[["I like this film."], ["Does it rain?", "The sun shines."]])

    inputs: str | Pair | Annotated[list[Pair], Field(min_length=1)]
    raw_scores: Annotated[bool, Field(description="logits instead of probabilities")] = False
    top_k: Annotated[int | None, Field(ge=1, description="number of classes; default: all")] = None
    function_to_apply: Annotated[
        Literal["softmax", "sigmoid", "none"] | None,
        Field(description="what makes scores of logits; default: what fits the model"),
    ] = None


class Sentences(BaseModel):
    """A text, and others to be compared with it."""

    model_config = ConfigDict(extra="forbid")

    source_sentence: str
    sentences: Annotated[list[str], Field(min_length=1)]


class SimilarityBody(CutBody):
    """A text, and others to be compared with it."""

    model_config = _example(inputs={"source_sentence": "It rains.", "sentences": ["It pours.", "A map."]})

    inputs: Sentences
    prompt_name: Prompt = None


class RerankBody(CutBody):
    """A query and the texts to put in order."""

    model_config = _example(query="What is deep learning?", texts=["Cheese is made of milk.", "A kind of learning."])

    query: str
    texts: Annotated[list[str], Field(min_length=1)]
    raw_scores: Annotated[bool, Field(description="logits instead of numbers from 0 to 1")] = False
    return_text: Annotated[bool, Field(description="give the texts back")] = False


class TokensBody(HubBody):
    """One text or several."""

    model_config = _example(inputs="Anna Weber lives in Port Louis.", aggregation_strategy="simple")

    inputs: str | Annotated[list[str], Field(min_length=1)]
    aggregation_strategy: Annotated[
        Literal["none", "simple", "first", "average", "max"] | None,
        Field(description="how tokens are grouped into entities; default: the model's"),
    ] = None
    stride: Annotated[int | None, Field(ge=0, description="overlap of the windows of a long text, in tokens")] = None
    ignore_labels: Annotated[list[str] | None, Field(description="classes of which nothing is said; default: O")] = None


class Question(BaseModel):
    """A question, and the text that has the answer."""

    model_config = ConfigDict(extra="forbid")

    question: str
    context: str


class AnswerBody(HubBody):
    """One question or several."""

    model_config = _example(inputs={"question": "Who won?", "context": "Oslo lost, Bergen won."})

    inputs: Question | Annotated[list[Question], Field(min_length=1)]
    top_k: Annotated[int, Field(ge=1, description="number of answers")] = 1
    max_answer_len: Annotated[int | None, Field(ge=1, description="of an answer, in tokens; default: 15")] = None
    handle_impossible_answer: Annotated[bool, Field(description="allow the empty answer")] = False
    max_seq_len: Annotated[int | None, Field(ge=8, description="of a window, in tokens; default: 384")] = None
    doc_stride: Annotated[int | None, Field(ge=0, description="overlap of windows, in tokens; default: 128")] = None
    max_question_len: Annotated[int | None, Field(ge=1, description="of a question, in tokens; default: all")] = None
    align_to_words: Annotated[bool, Field(description="widen answers to whole words")] = False


class FillBody(CutBody):
    """One text with mask tokens, or several."""

    model_config = _example(inputs="Paris is the [MASK] of France.", top_k=3)

    inputs: str | Annotated[list[str], Field(min_length=1)]
    top_k: Annotated[int, Field(ge=1, description="number of words for a mask")] = 5
    targets: Annotated[list[str] | None, Field(min_length=1, description="words to choose from")] = None


class ZeroShotBody(CutBody):
    """One text or several, and the classes."""

    model_config = _example(inputs="The striker misses the final.", candidate_labels=["sport", "politics"])

    inputs: str | Annotated[list[str], Field(min_length=1)]
    candidate_labels: Annotated[list[str], Field(min_length=1)]
    hypothesis_template: Annotated[str | None, Field(description="hypothesis, with {} for the class")] = None
    multi_label: Annotated[bool, Field(description="score each class by itself")] = False


class ExplainBody(Body):
    """A text or a pair, a head, and what is attributed to the tokens."""

    model_config = _example(text="The striker misses the final.", layer=-1, head=0)

    text: str
    text_pair: str | None = None
    layer: Annotated[int, Field(description="from 0, or negative from the end")] = -1
    head: Annotated[int, Field(description="from 0, or negative from the end")] = 0
    target: Annotated[str | None, Field(description="class or word; default: the likeliest")] = None
    token: Annotated[int | None, Field(ge=0, description="whose output; default: the one that decides")] = None
    steps: Annotated[int, Field(ge=1, le=256, description="of integrated gradients")] = 32


class OpenAIBody(BaseModel):
    """A request of OpenAI's clients."""

    model_config = _example(input="What is deep learning?", encoding_format="float")

    input: Annotated[Text | Annotated[list[Text], Field(min_length=1)], Field(union_mode="left_to_right")]
    model: ModelName = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int | None, Field(ge=1)] = None
    user: str | None = None


class Prediction(BaseModel):
    """A class and its score."""

    label: str
    score: float


class Rank(BaseModel):
    """A text by its place in the request, and its score."""

    index: int
    score: float
    text: str | None = None


class ErrorAnswer(BaseModel):
    """Why a request was not answered."""

    error: str
    error_type: str
