"""Dimensions of encoders of text like BERT; nothing here builds a graph."""

from __future__ import annotations

from typing import Literal

from lydite.errors import InputError
from lydite.models.blocks import Activation
from lydite.records import dataclass


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A BERT encoder: layers that normalise after they add.

    Attributes:
        layers, hidden, heads, feed_forward: As in `Stack`.
        vocabulary: Rows of the token embedding.
        positions: Length of the longest sequence.
        position_offset: Rows of the position table before the first position (RoBERTa).
        token_types: Rows of the embedding of token types; 0 for none (DistilBERT).
        type_inputs: Whether an input chooses among them.
        task_types: Rows of an embedding of task types (ERNIE); 0 for none.
        eps, activation: As in `Stack`.
        head: "pooler" gives all states and a summary of the first, "states" all states, "answer"
            start and end scores, "scores" those of the vocabulary, "classes" those of a text,
            "tags" those of every token and "replaced" whether a token is not the text's (ELECTRA).
        classes: Number of classes of a text or token.
        relu_pooler: Whether ReLU ends the summary instead of tanh (DistilBERT).
        embedding: Width of the embeddings; 0 for that of the layers (ELECTRA).
        rotary: Whether positions turn queries and keys, in place of a table (RoFormer).
        embedding_norm: Whether their sum is normalised (not in Megatron-BERT).
        order: "last" normalises behind the addition, "before" ahead of each part and at the end.
        transform: Width of the product before the scores; 0 for that of the embeddings.
        plain_scores: Whether there is no such product (BertGeneration).
        tied: Whether the embedding is the weight of the scores as well.
        idle_bias: Whether scores of a weight of their own have a second bias that nothing reads.
        qkv_bias: Whether the query, key and value products have a bias.
        block: Tokens of a block where blocks attend to some of the others (BigBird); 0 for all.
        random_blocks: Number of those that are chosen at random for each block.
        glyphs: Rows and width of tables of a token's look and sound, which are joined to its word
            and projected (RoCBert).
        idle_summary: Whether a summary of the first token is made that no head reads (BigBird).
        languages: Rows of a table of languages that an input chooses among (XLM); 0 for none.
        masked: Whether states of what does not count are set to zero after each layer (XLM).
        relative: Whether a product with waves by distance stands for positions, and one with two
            learned vectors tells whether two tokens are of one segment (XLNet).
        adapters: Number of languages that each have two products of their own behind a layer's
            dense part, of which a text goes through one (X-MOD); 0 for none.
        adapter: Width between them.
        adapter_norm: What normalises their input: nothing, a norm of its "own", or that of the
            dense part, which is "shared".
        adapter_on_normed: Whether their output is added to the normalised input.
    """

    layers: int
    hidden: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    position_offset: int = 0
    token_types: int = 2
    type_inputs: bool = True
    task_types: int = 0
    eps: float = 1e-12
    activation: Activation = "gelu"
    head: Literal["pooler", "answer", "states", "scores", "classes", "tags", "replaced"] = "pooler"
    classes: int = 2
    relu_pooler: bool = False
    embedding: int = 0
    rotary: bool = False
    embedding_norm: bool = True
    order: Literal["last", "before"] = "last"
    transform: int = 0
    plain_scores: bool = False
    tied: bool = True
    idle_bias: bool = False
    qkv_bias: bool = True
    block: int = 0
    random_blocks: int = 0
    glyphs: tuple[tuple[int, int], ...] = ()
    idle_summary: bool = False
    languages: int = 0
    masked: bool = False
    relative: bool = False
    adapters: int = 0
    adapter: int = 0
    adapter_norm: Literal["", "own", "shared"] = ""
    adapter_on_normed: bool = True

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise InputError(f"hidden {self.hidden} is not divisible by heads {self.heads}")

    @property
    def width(self) -> int:
        """Width of the embeddings."""
        return self.embedding or self.hidden

    @property
    def norm_shared(self) -> bool:
        """Whether the norm of the dense part is used for the adapters as well."""
        return bool(self.adapters) and self.adapter_norm == "shared"
