"""Models that read, write or listen."""

from __future__ import annotations

from lydite.models.info import ModelInfo, Published

ROWS = (
    ModelInfo(
        "bert-base", "BERT", "lydite.models.bert:bert_base", {"sequence": 128},
        "Devlin et al., BERT, arXiv:1810.04805: 12 layers of width 768, uncased vocabulary",
        "transformer encoder with pooler, no head",
        {"sequence": (1, 512)},
        published=Published(109_482_240, None, "transformers' BertModel"),
    ),
    ModelInfo(
        "bert-large", "BERT", "lydite.models.bert:bert_large", {"sequence": 128},
        "Devlin et al., BERT, arXiv:1810.04805: 24 layers of width 1024, uncased vocabulary",
        "transformer encoder with pooler, no head",
        {"sequence": (1, 512)},
        published=Published(335_141_888, None, "transformers' BertModel"),
    ),
)  # fmt: skip
