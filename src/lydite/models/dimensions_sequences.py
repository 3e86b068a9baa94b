"""Dimensions of encoders whose states a decoder attends to; nothing here builds a graph."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.models.dimensions import Stack
from lydite.records import dataclass


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder:
    """An encoder whose states a decoder attends to (T5, BART, Whisper).

    Attributes:
        encoder: Layers of the encoder.
        decoder: Layers of the decoder, each of which also attends to the encoder's states.
        vocabulary: Number of tokens.
        positions: Length of the longest decoded sequence.
        buckets: Rows of the table of relative positions (T5), or scores of distances that a
            product of the states gives (ProphetNet); 0 for learned positions.
        bins: Channels of an input of sound (Whisper); 0 where tokens go in.
        frames: Positions of the encoder for sound.
        position_offset: Rows of the position tables before the first position (BART).
        embedding_norm: Whether embeddings are normalised (BART).
        plain_embedding_norm: Whether that norm has no weights.
        last_norm: Whether the last states of both stacks are normalised.
        tied: Whether the token embedding is the weight of the last product as well.
        waves: Whether positions are sines and cosines, which are no weights (M2M-100).
        half: Whether it is the decoder alone, whose encoder's states are an input.
        states: Width of those states; 0 for that of the decoder.
        transform: Whether a product with its function and norm comes before the scores, which have
            a bias then (BLIP).
        segments: Rows of a table of token types, of which text has the first (BERT as a decoder).
        streams: Number of tokens that the decoder guesses at once, each in a stream of its own
            (ProphetNet); 0 for one alone.
        block: Tokens of a block where the encoder's blocks attend to some of the others (BigBird);
            0 for all.
        random_blocks: Number of those that are chosen at random for each block.
    """

    encoder: Stack
    decoder: Stack
    vocabulary: int
    positions: int
    buckets: int = 0
    bins: int = 0
    frames: int = 0
    position_offset: int = 0
    embedding_norm: bool = False
    plain_embedding_norm: bool = False
    last_norm: bool = True
    tied: bool = True
    waves: bool = False
    half: bool = False
    states: int = 0
    transform: bool = False
    segments: int = 0
    streams: int = 0
    block: int = 0
    random_blocks: int = 0

    @property
    def patches(self) -> int:
        """Number of the encoder's states that are parts of a picture beside a text."""
        return 0

    @property
    def biased(self) -> bool:
        """Whether a table of relative positions stands for all other ones (T5)."""
        return bool(self.buckets) and not self.streams


@dataclass(frozen=True, kw_only=True)
class DocumentReader(EncoderDecoder):
    """T5 whose encoder also reads where words stand on a page, and the page itself (UDOP).

    Attributes:
        patch: Side of a patch of the page in pixels.
        image_size: Side of the page in pixels.
        channels: Channels of the page.
        cells: Rows of the tables of places from left to right and from top to bottom.
    """

    patch: int
    image_size: int
    channels: int
    cells: int

    def __post_init__(self) -> None:
        if self.image_size % self.patch:
            raise InputError(f"image_size {self.image_size} is not divisible by patch {self.patch}")

    @property
    def patches(self) -> int:
        """Number of patches of the page."""
        return (self.image_size // self.patch) ** 2
