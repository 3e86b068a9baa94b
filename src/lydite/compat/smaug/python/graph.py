"""SMAUG's `Graph` and `Tensor`: operators are called inside `with Graph(...)`."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lydite.compat.smaug.topology.network import ALIGNMENT, DTYPES, LAYOUTS, Network, Node, Spec
from lydite.compat.smaug.topology.reader import graph_of_network
from lydite.compat.smaug.topology.writer import write_network
from lydite.errors import GraphError, InputError, unknown_name
from lydite.graph import Graph as LogicalGraph

_ACTIVE: ContextVar[Graph | None] = ContextVar("smaug_graph", default=None)


class Shape(NamedTuple):
    """Sizes and layout, under SMAUG's names."""

    dims: list[int]
    layout: str


class Tensor:
    """A tensor with values, or with a shape only.

    Args:
        dims: Sizes; not needed with `tensor_data`.
        name: Name; by default derived from its operator.
        data_layout: One of SMAUG's layouts.
        data_type: Element type; not needed with `tensor_data`.
        tensor_data: Values.

    Raises:
        InputError: the layout or type is unknown, or the sizes do not fit the layout.
    """

    def __init__(
        self,
        dims: Sequence[int] | None = None,
        name: str | None = None,
        data_layout: str = "NCHW",
        data_type: str | None = None,
        *,
        tensor_data: np.ndarray | None = None,
        source: tuple[Node, int] | None = None,
    ) -> None:
        if tensor_data is not None:
            dims, data_type = tensor_data.shape, tensor_data.dtype.name
        if data_layout not in LAYOUTS:
            raise unknown_name("layout", data_layout, LAYOUTS)
        if data_type is None or data_type not in DTYPES.values():
            raise unknown_name("data type", str(data_type), DTYPES.values())
        sizes = tuple(int(dim) for dim in dims or ())
        if len(sizes) != LAYOUTS[data_layout] or min(sizes, default=0) < 1:
            raise InputError(
                f"the sizes {list(sizes)} do not fit the layout {data_layout}",
                where=name or "tensor",
                allowed=f"{LAYOUTS[data_layout]} positive sizes",
            )
        self.dims, self.name, self.layout = sizes, name, data_layout
        self.dtype: str = data_type
        self.data, self.source = tensor_data, source
        self.data_op: Tensor | None = None
        self.reordered: dict[str, Tensor] = {}

    @property
    def shape(self) -> Shape:
        """Sizes and layout."""
        return Shape(list(self.dims), self.layout)

    def __str__(self) -> str:
        return f"{self.dtype} {self.layout} {list(self.dims)}"


class Graph:
    """A network under construction; a graph within another graph becomes part of it.

    Args:
        name: Name of the network, and stem of its files.
        backend: "Reference" or "SMV".
        mem_policy: How an accelerator accesses the host's memory.
    """

    def __init__(
        self, name: str = "DefaultGraph", backend: str = "Reference", mem_policy: str = "AllDma"
    ) -> None:
        self.network = Network(name, backend, mem_policy)
        self.merge_into_parent_graph = True
        self.layout_trans_enabled = True
        self.parent: Graph | None = None
        self._names: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The network's name."""
        return self.network.name

    @property
    def backend(self) -> str:
        """The backend that determines layouts."""
        return self.network.backend

    @property
    def mem_policy(self) -> str:
        """How an accelerator accesses the host's memory."""
        return self.network.mem_policy

    def __enter__(self) -> Graph:
        self.parent = _ACTIVE.get()
        _ACTIVE.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _ACTIVE.set(self.parent)
        if kind is None and self.parent is not None and self.merge_into_parent_graph:
            self.parent.merge(self)

    def merge(self, other: Graph) -> None:
        """Add the nodes of another graph."""
        self.network.nodes += other.network.nodes
        self.network.data |= other.network.data

    def disable_layout_transform(self) -> None:
        """Do not insert a Reorder where an operator needs another layout."""
        self.layout_trans_enabled = False

    def enable_layout_transform(self) -> None:
        """Insert Reorders again."""
        self.layout_trans_enabled = True

    def create_unique_name(self, name: str) -> str:
        """`name`, or `name_N` if the name is taken in this graph or an enclosing one."""
        root = self
        while root.parent is not None:
            root = root.parent
        taken, unique = root._names, name
        while unique in taken:
            taken[name] += 1
            unique = f"{name}_{taken[name]}"
        taken[unique] = 0
        return unique

    def add_node(
        self,
        name: str,
        op: str,
        inputs: Sequence[Tensor],
        outputs: Sequence[tuple[Sequence[int], str, str]],
        params: dict[str, Any] | None = None,
    ) -> list[Tensor]:
        """Append a node whose outputs have the given (sizes, layout, element type)."""
        alignment = ALIGNMENT[self.backend]
        node = Node(self.create_unique_name(name), op, [], [], [], params or {})
        for index, tensor in enumerate(inputs):
            tensor.name = tensor.name or f"{node.name}/input{index}"
            if tensor.source is not None:
                node.parents.append((tensor.source[0].name, tensor.source[1]))
            node.inputs.append(
                Spec(tensor.name, tensor.dtype, tensor.dims, tensor.layout, alignment)
            )
        made = []
        for index, (dims, layout, dtype) in enumerate(outputs):
            label = f"{node.name}/output{index}"
            made.append(Tensor(dims, label, layout, dtype, source=(node, index)))
            node.outputs.append(Spec(label, dtype, made[-1].dims, layout, alignment))
        self.network.nodes.append(node)
        return made

    def data_node(self, tensor: Tensor, name: str = "data") -> Tensor:
        """Output of the Data node of a tensor that no operator produced."""
        if tensor.data_op is None:
            output = (tensor.dims, tensor.layout, tensor.dtype)
            tensor.data_op = self.add_node(name, "Data", [tensor], [output])[0]
            if tensor.data is not None and tensor.name is not None:
                self.network.data[tensor.name] = tensor.data
        return tensor.data_op

    def to_graph(self) -> LogicalGraph:
        """The logical graph: ONNX's operators over NCHW, as `read_smaug` gives it.

        Raises:
            InputError: the inputs of an operator contradict it (names the operator).
        """
        return graph_of_network(self.network)

    def write_graph(self, name: str | None = None, folder: Path | str = ".") -> tuple[Path, Path]:
        """Write `<name>_topo.pbtxt` and `<name>_params.pb`.

        Tensors without values get random ones.

        Raises:
            LyditeError: the folder cannot be written.
        """
        found = self.network
        if name is not None:
            found = Network(name, found.backend, found.mem_policy, found.nodes, found.data)
        return write_network(found, folder)

    def print_summary(self) -> None:
        """Print every node with its parents and tensors."""
        line = "-" * 65
        print(
            f"Network {self.name} ({self.backend}), host memory access: {self.mem_policy}\n{line}"
        )
        for node in self.network.nodes:
            print(f"{node.name} ({node.op})")
            print("  parents:", ", ".join(parent for parent, _ in node.parents) or "none")
            for kind, specs in (("input", node.inputs), ("output", node.outputs)):
                for spec in specs:
                    print(f"  {kind}: {spec.name} {spec.dtype} {spec} alignment {spec.alignment}")
        print(line)


def get_graph() -> Graph:
    """The graph of the innermost `with`.

    Raises:
        GraphError: no graph is open.
    """
    found = _ACTIVE.get()
    if found is None:
        raise GraphError("no graph is open", hint="call operators inside 'with sg.Graph(...)'")
    return found


def add_node(
    name: str,
    op: str,
    inputs: Sequence[Tensor],
    dims: Sequence[Sequence[int]],
    *,
    layout: str | None = None,
    dtype: str | None = None,
    params: dict[str, Any] | None = None,
) -> list[Tensor]:
    """Append a node to the open graph; inputs without a source get Data nodes."""
    graph = get_graph()
    ready = [t if t.source is not None else graph.data_node(t) for t in inputs]
    outputs = [(sizes, layout or ready[0].layout, dtype or ready[0].dtype) for sizes in dims]
    return graph.add_node(name, op, ready, outputs, params)


def input_data(input_tensor: Tensor, name: str = "data") -> Tensor:
    """The tensor as an input of the network."""
    return get_graph().data_node(input_tensor, name)


def misfit(name: str, op: str, rule: str, *tensors: Tensor) -> GraphError:
    """An error for inputs that an operator cannot take."""
    shapes = " and ".join(map(str, tensors))
    return GraphError(f"cannot take {shapes}", where=f"{name} ({op})", allowed=rule)
