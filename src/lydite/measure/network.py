"""What a node costs within a network beyond what it costs alone.

Alone, an operator is timed among copies of itself: its code, its branches and the runtime's own
records are at hand. In a network of hundreds of nodes they are not. How much that costs is measured
on two small language models: as a whole, minus the sum of their operators timed alone, per node.
(On a Xeon with ONNX Runtime: 0.08 us in networks of less than 100 nodes, 0.2 to 0.4 us above 300.)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lydite.backends import Backend, Prepared, Settings
from lydite.errors import LyditeError
from lydite.graph import Graph, keys_of, spans_of
from lydite.measure.isolation import CallCosts, Layout, corrected, layout_for
from lydite.measure.timing import TimingPlan, measure
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder
from lydite.opkey import LARGE_NETWORK_KEY, SMALL_NETWORK_KEY, OpKey
from lydite.records import dataclass

_LAYERS = {SMALL_NETWORK_KEY: 2, LARGE_NETWORK_KEY: 16}


@dataclass(frozen=True)
class _Network:
    whole: str
    nodes: int
    parts: Mapping[str, int]


def excess_s(
    backend: Backend, settings: Settings, plan: TimingPlan, costs: CallCosts
) -> dict[OpKey, np.ndarray]:
    """Seconds per node and sample, for the small and the large network.

    Returns:
        Samples by the key that they are stored under; empty where the backend cannot run the
        networks, so that nothing is known.
    """
    items: dict[str, Prepared] = {}
    layouts: dict[str, Layout] = {}
    try:
        networks = {
            key: _prepared(_language_model(layers), backend, settings, items, layouts)
            for key, layers in _LAYERS.items()
        }
        timings = measure(items, replace(plan, rounds=25, budget_s=6.0, flush=None))
    except LyditeError:
        return {}
    finally:
        for item in items.values():
            item.close()
    alone = {
        name: corrected(timings[name], layout.copies, costs) for name, layout in layouts.items()
    }
    call_s = costs.medians()[0]
    samples = {
        key: timings[net.whole].samples_s - call_s - sum(n * alone[p] for p, n in net.parts.items())
        for key, net in networks.items()
    }
    per_node = {key: np.maximum(s / networks[key].nodes, 0.0) for key, s in samples.items()}
    counts = {key: net.nodes for key, net in networks.items()}
    return {key: _at_usual_size(per_node, counts, int(key.attrs["nodes"])) for key in per_node}


def _at_usual_size(
    per_node: Mapping[OpKey, np.ndarray], counts: Mapping[OpKey, int], nodes: int
) -> np.ndarray:
    """The excess at a number of nodes, from those at the networks' own, in the logarithm."""
    (first, second) = per_node
    share = math.log(nodes / counts[first]) / math.log(counts[second] / counts[first])
    between = per_node[first] + share * (per_node[second] - per_node[first])
    return np.maximum(between, 1e-12)


def _language_model(layers: int) -> Graph:
    size = Decoder(
        layers=layers, hidden=128, heads=2, feed_forward=256, vocabulary=512, positions=64
    )
    return decoder(size, batch=1, sequence=16, phase="forward").renamed(f"layers_{layers}")


def _prepared(
    graph: Graph,
    backend: Backend,
    settings: Settings,
    items: dict[str, Prepared],
    layouts: dict[str, Layout],
) -> _Network:
    """Load a network and its operators; they are added to `items` and `layouts`."""
    low = backend.lower(graph, settings)
    spans = spans_of(low)
    parts: dict[str, int] = {}
    items[graph.name] = backend.prepare(graph, settings)
    for key, count in Counter(keys_of(low).values()).items():
        layout = layout_for(key, "rotated", spans.get(key, 0))
        name = f"{layout} {key.text}"
        if name not in items:
            items[name] = backend.prepare_op(key, settings, layout.copies, layout.turns)
            layouts[name] = layout
        parts[name] = count
    return _Network(graph.name, len(low.ops), parts)
