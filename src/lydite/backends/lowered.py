"""Cache of lowered graphs: lowering takes longer than reading the result from disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from platformdirs import user_cache_path

from lydite.backends.base import Backend, Settings
from lydite.errors import LyditeError
from lydite.graph import Graph, read_onnx, write_onnx
from lydite.graph.graph import stored_subnormal
from lydite.graph.keys import graph_digest


def lowered(backend: Backend, graph: Graph, settings: Settings) -> Graph:
    """`backend.lower(graph, settings)`, cached on disk by graph, versions and settings."""
    shares = enumerate(map(stored_subnormal, graph.initializers.values()))
    weights = [(number, share) for number, share in shares if share]
    versions = dict(backend.capabilities().versions)
    identity = json.dumps([graph_digest(graph), backend.name, versions, asdict(settings), *weights])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:32]
    path = user_cache_path("lydite") / "lowered" / f"{digest}.onnx"
    if path.is_file():
        try:
            return read_onnx(path).renamed(graph.name)
        except LyditeError:
            path.unlink(missing_ok=True)  # written by an older version, or damaged
    result = backend.lower(graph, settings)
    write_onnx(result, path, weights=False)
    return result
