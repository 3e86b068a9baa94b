"""Training graphs against PyTorch: backward FLOPs, gradient shapes, peak memory.

PyTorch's side is its autograd under `FlopCounterMode` (on the meta device, so that no number is
computed), and the sum of its own allocations on the CPU as its profiler records them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from _figures import Figure, publish
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lydite.graph import Graph
from lydite.graph.training import memory_of, training_step
from lydite.models import build_model
from lydite.models.bert import bert as encoder
from lydite.models.counts import multiply_adds
from lydite.models.decoder import decoder
from lydite.models.dimensions import Decoder
from lydite.models.dimensions_encoders import Encoder

BATCH = 4


def alexnet() -> nn.Module:
    """Krizhevsky 2014, in one tower."""
    widths = (
        (3, 64, 11, 4, 2),
        (64, 192, 5, 1, 2),
        (192, 384, 3, 1, 1),
        (384, 256, 3, 1, 1),
        (256, 256, 3, 1, 1),
    )
    layers: list[nn.Module] = []
    for number, (inputs, outputs, kernel, stride, pad) in enumerate(widths):
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, pad), nn.ReLU()]
        if number in (0, 1, 4):
            layers.append(nn.MaxPool2d(3, 2))
    dense = [nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(4096, 1000))


class Bottleneck(nn.Module):
    """Of ResNet v1.5."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            nn.Sequential(nn.Conv2d(*sizes, bias=False), nn.BatchNorm2d(sizes[1]))
            for sizes in (
                (inputs, width, 1),
                (width, width, 3, stride, 1),
                (width, 4 * width, 1),
            )
        )
        plain = stride == 1 and inputs == 4 * width
        self.skip = (
            nn.Identity()
            if plain
            else nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.b(F.relu(self.a(x), inplace=True)), inplace=True)
        return F.relu(self.c(y) + self.skip(x), inplace=True)


def resnet50() -> nn.Module:
    """He et al., with the stride in the 3x3 convolution."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
    ]
    inputs = 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class Language(nn.Module):
    """Zaremba's large language model over two LSTM layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layers = nn.Embedding(10000, 1500), nn.LSTM(1500, 1500, 2)
        self.out = nn.Linear(1500, 10000)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(self.words(ids).transpose(0, 1))[0].transpose(0, 1))


def bert(**sizes: int) -> nn.Module:
    """transformers' own, its attention written out."""
    from transformers import BertConfig, BertModel

    plain: dict[str, Any] = {
        **sizes,
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
        "attn_implementation": "eager",
    }
    return BertModel(BertConfig(**plain))


SMALL = Encoder(layers=4, hidden=256, heads=4, feed_forward=1024, vocabulary=30522, positions=512)


def small_bert() -> nn.Module:
    """BERT of four narrow layers."""
    return bert(
        num_hidden_layers=SMALL.layers,
        hidden_size=SMALL.hidden,
        num_attention_heads=SMALL.heads,
        intermediate_size=SMALL.feed_forward,
    )


LLAMA = Decoder(
    layers=4,
    hidden=4096,
    heads=32,
    kv_heads=8,
    feed_forward=14336,
    vocabulary=128256,
    positions=8192,
    rope_theta=500000.0,
    norm="rms",
    activation="silu",
    gated=True,
    qkv_bias=False,
    output_bias=False,
    dense_bias=False,
    tied=False,
)


def llama() -> nn.Module:
    """Four layers of Llama 3 8B, transformers' own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "num_hidden_layers": 4,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "attn_implementation": "eager",
    }
    return LlamaForCausalLM(LlamaConfig(**sizes))


@dataclass(frozen=True)
class Case:
    """A net of ours, the same in PyTorch, its inputs there, and its scalar output.

    Attributes:
        ours, theirs: build the two.
        inputs: make PyTorch's inputs.
        outputs: a module's outputs as a list of tensors.
        loss: ours; PyTorch's follows from it.
    """

    ours: Callable[[], Graph]
    theirs: Callable[[], nn.Module]
    inputs: Callable[[], Sequence[torch.Tensor]]
    outputs: Callable[[Any], Sequence[torch.Tensor]] = field(default=lambda out: [out])
    loss: str = "cross_entropy"


def _image() -> Sequence[torch.Tensor]:
    return [torch.randn(BATCH, 3, 224, 224)]


def _ids(length: int, vocabulary: int) -> Callable[[], Sequence[torch.Tensor]]:
    return lambda: [torch.randint(0, vocabulary, (BATCH, length))]


CASES = {
    "alexnet": Case(lambda: build_model("alexnet", batch=BATCH), alexnet, _image),
    "resnet50": Case(lambda: build_model("resnet50", batch=BATCH), resnet50, _image),
    "bert-base": Case(
        lambda: build_model("bert-base", batch=BATCH),
        bert,
        _ids(128, 30000),
        lambda out: [out[0], out[1]],
        "mean_square",
    ),
    "bert-base, 384 tokens": Case(
        lambda: build_model("bert-base", batch=BATCH, sequence=384),
        bert,
        _ids(384, 30000),
        lambda out: [out[0], out[1]],
        "mean_square",
    ),
    "bert, 4 narrow layers": Case(
        lambda: encoder(SMALL, batch=BATCH, sequence=384),
        small_bert,
        _ids(384, 30000),
        lambda out: [out[0], out[1]],
        "mean_square",
    ),
    "lstm": Case(lambda: build_model("lstm", batch=BATCH), Language, _ids(35, 10000)),
    "llama3-8b, 4 layers": Case(
        lambda: decoder(LLAMA, batch=BATCH, sequence=512, phase="forward"),
        llama,
        _ids(512, 128256),
        lambda out: [out.logits],
    ),
}


MEASURED = (
    ("resnet50", "adam"),
    ("bert-base", "adam"),
    ("resnet50", None),
    ("bert-base, 384 tokens", None),
)
"""Nets whose memory is compared; updates of large tables are most of BERT's peak with Adam."""


def _lost(case: Case, outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    if case.loss == "mean_square":
        return sum((F.mse_loss(out, torch.zeros_like(out)) for out in outputs), torch.zeros(()))
    scores = outputs[0].flatten(0, -2)
    return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))


def flops(name: str) -> tuple[float, float, int]:
    """Backward FLOPs of products, ours over theirs; the same forward; gradients of other shapes."""
    case = CASES[name]
    graph = case.ours()
    step = training_step(graph, loss=case.loss)
    forward = multiply_adds(graph)
    backward = multiply_adds(step.graph) - forward
    with torch.device("meta"), torch.backends.mkldnn.flags(enabled=False):
        net = case.theirs().train()
        with FlopCounterMode(display=False) as ahead:
            loss = _lost(case, case.outputs(net(*case.inputs())))
        with FlopCounterMode(display=False) as back:
            loss.backward()
    theirs = _shapes([p.grad.shape for p in net.parameters() if p.grad is not None])
    ours = _shapes([step.graph.type_of(g).shape or () for g in step.gradients.values()])
    return (
        2 * backward / back.get_total_flops(),
        2 * forward / ahead.get_total_flops(),
        (sum(abs(ours.get(k, 0) - theirs.get(k, 0)) for k in {*ours, *theirs})),
    )


def _shapes(found: Sequence[Sequence[Any]]) -> dict[tuple[int, ...], int]:
    """Gradients by shape: elements of vectors, as an LSTM has two biases in one or apart.

    Matrices may lie transposed (ONNX's MatMul) and have an axis of one direction (ONNX's LSTM).
    """
    counted: dict[tuple[int, ...], int] = {}
    for shape in found:
        plain = tuple(sorted(int(dim) for dim in shape if dim != 1))
        key, count = (plain, 1) if len(plain) > 1 else ((), plain[0] if plain else 1)
        counted[key] = counted.get(key, 0) + count
    return counted


def memory(name: str, optimizer: str | None = "adam") -> tuple[float, float]:
    """Peak bytes of a training step: ours, and PyTorch's second step.

    Without an optimiser a step is forward and backward, and activations are most of its peak.
    """
    case = CASES[name]
    step_ = training_step(case.ours(), loss=case.loss, optimizer=optimizer)
    torch.manual_seed(0)
    net, inputs = case.theirs().train(), case.inputs()
    updates = torch.optim.Adam(net.parameters())

    def step() -> None:
        updates.zero_grad()
        _lost(case, case.outputs(net(*inputs))).backward()
        if optimizer is not None:
            updates.step()

    _peak(step)  # the profiler only sees memory go whose coming it saw
    before = _held(net, updates, inputs)
    return memory_of(step_).peak_bytes, before + _peak(step)


def _held(net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Sequence[torch.Tensor]) -> int:
    """Bytes of weights, statistics, gradients, states and inputs between two steps."""
    tensors = [*net.parameters(), *net.buffers(), *inputs]
    tensors += [p.grad for p in net.parameters() if p.grad is not None]
    tensors += [part for state in optimizer.state.values() for part in state.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak(step: Callable[[], None]) -> float:
    """The most that is allocated during a call, above what was there before."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    events: Any = recorded.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    alive = most = 0
    for _, change in changes:
        alive += change
        most = max(most, alive)
    return float(most)


def main() -> None:
    found: list[Figure] = []
    for name in CASES:
        backward, forward, apart = flops(name)
        at = {"batch": BATCH, "forward_ratio": round(forward, 5), "torch": torch.__version__}
        what, off = f"backward FLOPs off PyTorch's counter: {name}", abs(backward - 1)
        found.append(Figure(what, off, "share", 0.01, "lower", at))
        found.append(Figure(f"gradients of another shape: {name}", apart, "", 0, "lower", at))
    for name, optimizer in MEASURED:
        ours, theirs = memory(name, optimizer)
        what = f"peak memory of {'a step' if optimizer else 'forward and backward'}: {name}"
        sizes = {"batch": BATCH, "ours_bytes": ours, "theirs_bytes": theirs, "optimizer": optimizer}
        off = abs(ours / theirs - 1)
        found.append(Figure(f"{what}, off PyTorch's", off, "share", 0.1, "lower", sizes))
    start = time.process_time()
    graph = build_model("llama3-8b", sequence=4096, phase="forward")
    step = training_step(graph, optimizer="adam")
    spent, size = time.process_time() - start, {"operators": len(step.graph.ops)}
    found.append(Figure("training graph of llama3-8b, Adam, CPU", spent, "s", None, "lower", size))
    publish("training", found)


if __name__ == "__main__":
    main()
