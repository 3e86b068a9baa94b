"""SMAUG's tutorial network: built with its API, written as its files, read back, and costed."""

import tempfile

import numpy as np

import lydite.compat.smaug as sg
from lydite.graph import total_work
from lydite.graph.formats import read_file
from lydite.units import format_si


def random(*shape: int) -> np.ndarray:
    return (np.random.default_rng(0).random(shape) * 0.008).astype(np.float16)


with sg.Graph(name="my_model", backend="SMV") as graph:
    image = sg.Tensor(data_layout=sg.NHWC, tensor_data=random(1, 28, 28, 1))
    filters = sg.Tensor(data_layout=sg.NHWC, tensor_data=random(32, 3, 3, 1))
    weights = sg.Tensor(data_layout=sg.NC, tensor_data=random(10, 6272))
    x = sg.input_data(image)
    x = sg.nn.convolution(x, filters, stride=[1, 1], padding="same", activation="relu")
    x = sg.nn.max_pool(x, pool_size=[2, 2], stride=[2, 2])
    x = sg.nn.mat_mul(x, weights)

graph.print_summary()
with tempfile.TemporaryDirectory() as folder:
    topology, params = graph.write_graph(folder=folder)
    logical = read_file(topology, params=params)

assert logical.ops == graph.to_graph().ops
work = total_work(logical)
print(f"{len(logical.ops)} operators, {format_si(work.total.flops, 'FLOP')}")
