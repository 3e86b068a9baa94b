"""SMAUG's names of layouts, element types and policies."""

from __future__ import annotations

from typing import Final

NCHW: Final = "NCHW"
NHWC: Final = "NHWC"
NC: Final = "NC"
CN: Final = "CN"
NCT: Final = "NCT"
NTC: Final = "NTC"
N: Final = "N"

Int32: Final = "int32"
Int64: Final = "int64"
Float16: Final = "float16"
Float32: Final = "float32"
Float64: Final = "float64"
Bool: Final = "bool"

AllDma: Final = "AllDma"
AllAcp: Final = "AllAcp"
AllAcpWithDmaForWeights: Final = "AllAcpWithDmaForWeights"
