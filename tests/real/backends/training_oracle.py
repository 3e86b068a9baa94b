"""The oracle of the gradient tests: PyTorch's autograd over the plain forward operators."""

from __future__ import annotations

import torch

from lydite.backends.base import Settings
from lydite.backends.torch import _Net, _rule_of
from lydite.graph.training import training_step


def compare(graph, *, loss=None, recompute=0, tolerance=2e-4):
    """Every gradient of the training step, and the loss, must be autograd's."""
    step = training_step(graph, loss=loss, recompute=recompute)
    net = _Net(step.graph, Settings())
    feeds, values = drawn(net, step)
    with torch.no_grad():
        lost, *found = net(*feeds)
    wanted_loss, wanted = by_autograd(graph, step, net, feeds, values)
    assert torch.allclose(lost, wanted_loss, rtol=1e-5)
    assert len(wanted) == len(graph.parameters) == len(found)
    largest = max(gradient.abs().max() for gradient in wanted)  # a bias before a norm has zero
    for name, ours, theirs in zip(step.gradients, found, wanted, strict=True):
        assert ours.shape == theirs.shape == step.graph.type_of(name).shape
        scale = theirs.abs().max() + 1e-3 * largest
        assert (ours - theirs).abs().max() <= tolerance * scale, name


def drawn(net, step):
    """Inputs, and weights small enough for a deep net, from one seed."""
    torch.manual_seed(0)
    feeds = [torch.randn_like(feed) if feed.is_floating_point() else feed for feed in net.feeds]
    values = {}
    for name, attribute in net._names.items():
        tensor = getattr(net, attribute)
        if name in step.gradients:
            scale = 0.7 / max(1, tensor[0].numel()) ** 0.5 if tensor.dim() > 1 else 1.0
            setattr(net, attribute, torch.randn_like(tensor) * scale)
        values[name] = getattr(net, attribute).clone()
    return feeds, values


def by_autograd(graph, step, net, feeds, values):
    plain = {op.name: op for op in graph.ops}
    for name in step.gradients:
        values[name].requires_grad_()
    leaves = [values[name] for name in step.gradients]
    values.update(zip(step.graph.inputs, feeds, strict=True))
    for op in (*step.ops_of("forward"), *step.ops_of("loss")):
        op = plain.get(op.name, op)
        given = [net._given(op, index, values) for index in range(len(op.inputs))]
        result = (
            normalised(given, op)
            if op.op_type == "BatchNormalization"
            else (_rule_of(op)(given, op.attrs))
        )
        values.update(
            zip(op.outputs, result if isinstance(result, tuple | list) else (result,), strict=False)
        )
    lost = values[step.graph.outputs[0]]
    return lost.detach(), torch.autograd.grad(lost, leaves)


def normalised(given, op):
    """By the batch's own statistics, as in training."""
    eps = op.attrs.get("epsilon", 1e-5)
    return torch.nn.functional.batch_norm(given[0], None, None, *given[1:3], True, 0.1, eps)
