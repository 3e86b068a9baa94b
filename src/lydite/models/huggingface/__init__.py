"""Graphs from the `config.json` of Hugging Face's transformers.

A config is read as data: no package is imported, no code run, no weight fetched. Each `model_type`
is one row: a table `FAMILIES` lists causal language models, as in `dense` and `experts`, a table
`TYPES` the others, as in `encoders`. What a row does not know is named; what cannot be built is
refused.
"""

from lydite.models.huggingface.build import MAX_BYTES, ReadConfig, graph_from_config, read_config
from lydite.models.huggingface.types import TYPES

__all__ = ["MAX_BYTES", "TYPES", "ReadConfig", "graph_from_config", "read_config"]
