"""Model files: ONNX, PyTorch archives, the catalogue of published files, and the record beside each model."""
