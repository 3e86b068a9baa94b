"""ONNX Runtime's own optimised graphs, written to files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lydite.backends.onnxruntime import PROVIDERS, failures, first_line
from lydite.errors import BackendError, MissingExtra

_LEVELS = {"basic": "ORT_ENABLE_BASIC", "all": "ORT_ENABLE_ALL"}


def optimised(
    source: Path, path: Path, level: Literal["basic", "all"], device: str = "cpu"
) -> Path:
    """Write a model file as ONNX Runtime optimises it; large weights go to `path`.data.

    Args:
        source: Model file with its weights.
        path: File to write.
        level: "basic" folds constants and normalisation into standard operators; "all" also takes
            the runtime's own operators and the layout of this processor.
        device: "cpu" or "cuda".

    Raises:
        BackendError: ONNX Runtime refuses the model, or has no such device.
        MissingExtra: it is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError:
        raise MissingExtra("onnxruntime", "onnxruntime") from None
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
    path.parent.mkdir(parents=True, exist_ok=True)
    options.optimized_model_filepath = str(path)
    prefix = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(prefix + "file_name", path.name + ".data")
    options.add_session_config_entry(prefix + "min_size_in_bytes", str(1 << 20))
    provider = PROVIDERS.get(device, device)
    if provider not in ort.get_available_providers():
        raise BackendError(f"ONNX Runtime has no {provider} here", allowed=", ".join(PROVIDERS))
    try:
        ort.InferenceSession(str(source), options, providers=[provider])
    except failures() as error:
        raise BackendError(first_line(error), where=path.name) from error
    return path
