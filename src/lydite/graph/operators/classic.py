"""Classical machine learning (ai.onnx.ml) and text operators."""

from __future__ import annotations

import math

from lydite.graph.operators import split
from lydite.graph.operators.call import (
    DIVIDE,
    FUNCTION,
    SQRT,
    Call,
    Cost,
    NotKnownError,
    at,
    nbytes,
    per_input,
)
from lydite.graph.operators.missing import NOT_TRAINED, UNTYPED, usual
from lydite.graph.operators.operator import HOST, ZERO, Family, Operator
from lydite.graph.operators.typing import classic as typed

_NODE_BYTES = 24  # feature, threshold, mode, two children


def _post(call: Call) -> float:
    """FLOPs per score of the attribute `post_transform`."""
    softmax, logistic = 3 + FUNCTION + DIVIDE, 2 + FUNCTION + DIVIDE
    by_number = (0, softmax, logistic, softmax, FUNCTION)
    names = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
    given = call.attrs.get("post_transform", "NONE")
    if given in names:
        return by_number[names.index(given)]
    return by_number[given] if isinstance(given, int) else 0


def _items(call: Call, *names: str) -> int:
    """Length of the first of the named list attributes that is present."""
    for name in names:
        value = call.attrs.get(name)
        if isinstance(value, list | tuple):
            return len(value)
        if isinstance(value, dict) and isinstance(value.get("tensor"), str):
            dims = value["tensor"].partition("[")[2].rstrip("]").split(",")
            return math.prod(int(dim) for dim in dims if dim.strip())
    raise NotKnownError


def _rows(call: Call) -> int:
    dims = call.shape(0)
    return dims[0] if len(dims) > 1 else 1


def _linear(call: Call) -> Cost:
    """A product with the coefficients, then a post-transform."""
    weights = _items(call, "coefficients")
    features = max(1, at(call.shape(0), -1))
    rows = call.count(0) / features
    scores = rows * weights / features
    return Cost(rows * 2 * weights + (1 + _post(call)) * scores)


def _support_vectors(call: Call) -> Cost:
    """A kernel evaluation per support vector, then coefficients; linear kernels are products."""
    vectors = _items(call, "support_vectors", "coefficients")
    weights = _items(call, "coefficients")
    kernel = {"LINEAR": 0, "RBF": FUNCTION + 1, "POLY": FUNCTION + 2, "SIGMOID": FUNCTION + 2}
    each = kernel.get(call.text("kernel_type", "LINEAR"))
    if each is None:
        raise NotKnownError
    features = max(1, at(call.shape(0), -1))
    products = 3 if call.text("kernel_type", "LINEAR") == "RBF" else 2
    return Cost(_rows(call) * (products * vectors + each * vectors / features + 2 * weights))


def _trees(call: Call) -> Cost:
    """One comparison per level and tree, at the depth of a balanced tree with as many leaves."""
    modes = call.attrs.get("nodes_modes")
    if isinstance(modes, list | tuple) and "nodes_treeids" in call.attrs:
        owners = call.integers("nodes_treeids")
        leaves = [owner for owner, mode in zip(owners, modes, strict=False) if mode == "LEAF"]
        counts = [leaves.count(tree) for tree in set(owners)]
    else:
        roots = len(call.integers("tree_roots"))
        counts = [max(1, _items(call, "leaf_weights") // max(1, roots))] * roots
    visited = sum(math.log2(max(2, count)) for count in counts)
    nodes = sum(2 * count - 1 for count in counts)
    rows = _rows(call)
    flops = rows * (visited + len(counts)) + _post(call) * call.out_count(len(call.outs) - 1)
    return Cost(flops, call.bytes_of(0) + _NODE_BYTES * min(nodes, rows * visited))


def _normalizer(call: Call) -> Cost:
    each = {"MAX": 1, "L1": 2, "L2": 2 + SQRT / max(1, at(call.shape(0), -1))}
    return Cost((each.get(call.text("norm", "MAX"), 2) + DIVIDE) * call.count(0))


def _n_grams(call: Call) -> Cost:
    """One look-up per start position, n-gram length and skip."""
    lengths = call.integer("max_gram_length") - call.integer("min_gram_length") + 1
    skips = call.integer("max_skip_count") + 1
    return Cost(call.count(0) * lengths * skips)


def _copied(call: Call) -> Cost:
    """Data are moved and looked up; nothing is computed."""
    return Cost(0, sum(nbytes(t) for t in call.ins if t is not None and t.shape is not None))


def _mapped(call: Call) -> Cost:
    """Conversion to or from a dictionary, which has as many entries as the tensor elements."""
    tensors = [t for t in (*call.ins, *call.outs) if t is not None and t.shape is not None]
    if not tensors:
        raise NotKnownError
    moved = sum(nbytes(t) for t in tensors)
    return Cost(0, moved, moved)


_ML = "ai.onnx.ml:"
_standard = Family("classic", usual(gradient=NOT_TRAINED, split=split.rows_alone, array=HOST))

OPERATORS: tuple[Operator, ...] = (
    _standard.row(_ML + "LinearClassifier", _linear, types=typed.classified),
    _standard.row(_ML + "LinearRegressor", _linear, types=typed.regressed("targets")),
    _standard.row(_ML + "SVMClassifier", _support_vectors, types=typed.classified),
    _standard.row(_ML + "SVMRegressor", _support_vectors, types=typed.regressed("n_targets")),
    # trees are piecewise constant
    _standard.row(_ML + "TreeEnsemble", _trees, gradient=ZERO),
    _standard.row(_ML + "TreeEnsembleClassifier", _trees, types=typed.classified, gradient=ZERO),
    _standard.row(
        _ML + "TreeEnsembleRegressor", _trees, types=typed.regressed("n_targets"), gradient=ZERO
    ),
    _standard.row(_ML + "Normalizer", _normalizer, types=typed.as_float),
    _standard.row(_ML + "Scaler", per_input(2), types=typed.as_float),
    _standard.row(_ML + "Binarizer", per_input(1), gradient=ZERO),
    _standard.row(_ML + "Imputer", per_input(1)),
    *_standard.rows(
        (
            _ML + "ArrayFeatureExtractor",
            _ML + "CategoryMapper",
            _ML + "FeatureVectorizer",
            _ML + "LabelEncoder",
            _ML + "OneHotEncoder",
            "StringNormalizer",
            "StringSplit",
        ),
        _copied,
        gradient=ZERO,
    ),
    *_standard.rows(
        ("com.microsoft:Tokenizer", "com.microsoft:MurmurHash3"),
        _copied,
        types=UNTYPED,
        gradient=ZERO,
    ),
    *_standard.rows((_ML + "CastMap", _ML + "DictVectorizer", _ML + "ZipMap"), _mapped),
    _standard.row("TfIdfVectorizer", _n_grams),
)
