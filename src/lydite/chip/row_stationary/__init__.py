"""Row-stationary arrays (Eyeriss): parameters, mapping and closed forms.

A processing element (PE) keeps a row of a filter and slides a row of the ifmap past it, which gives
a row of partial sums. R x e PEs make a set: filter rows go along it, ifmap rows diagonally, sums
add up over its R rows, and e rows of the ofmap come out. A set wider than the array is folded onto
strips of R rows. The array holds several sets: those above each other may take other channels (r),
for sums travel upwards only; all others take other filters (t). A PE works on q channels and p
filters, whose rows its scratchpads hold. One pass of the array takes n images, q r channels and p t
filters to e rows of the ofmap:

    weight load      p t q r R S / filter bus
    fill and drain   first windows of the ifmap, ((e - 1) U + R) S q r / ifmap bus, and R sums
    compute          n F p q S
    array network    what the streams of ifmap and sums take beyond that, where they are slower

A layer is ceil(E / e) ceil(N / n) ceil(M / p t) ceil(C / q r) passes, the channels innermost. Sums
of m filters stay in the global buffer until all channels are in: the ifmap is fetched M / m times,
filters once for each of the ceil(E / e) ceil(N / n) blocks, and each sum goes to the buffer and
back but for the first pass. A product has a window of 1 x 1; its rows are cut wherever that helps.

Of the mappings that fit, those within 5 % of the least time count as equally fast; of these the one
is taken that accesses memory least, then the global buffer, as Eyeriss is mapped for energy.

Sources: Chen, Emer, Sze, "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for
Convolutional Neural Networks" (ISCA 2016); Chen, Krishna, Emer, Sze, "Eyeriss: An Energy-Efficient
Reconfigurable Accelerator for Deep Convolutional Neural Networks" (JSSC 52(1), 2017). That weights
are loaded before a pass and all else streams is our reading of the published latencies.

Left out: zeros in the ifmap (which save energy there, not time), compression to and from DRAM, the
energy of the network between buffer and PEs, and sets of several groups at once, so that depthwise
convolutions use one set.
"""

from lydite.chip.row_stationary.array import RowStationaryArray, array_of
from lydite.chip.row_stationary.closed_forms import (
    LayerRun,
    LayerShape,
    PassMapping,
    flat_shape,
    run_on,
    shape_of,
)
from lydite.chip.row_stationary.dataflow import ROW_STATIONARY, RowStationaryDataflow
from lydite.chip.row_stationary.mappings import mappings, seconds_of

__all__ = [
    "ROW_STATIONARY",
    "LayerRun",
    "LayerShape",
    "PassMapping",
    "RowStationaryArray",
    "RowStationaryDataflow",
    "array_of",
    "flat_shape",
    "mappings",
    "run_on",
    "seconds_of",
    "shape_of",
]
