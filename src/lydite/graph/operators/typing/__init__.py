"""Output types of operators outside the ONNX standard."""
