"""The files that a session reads: of its model, of the compiled kernels and of onnxruntime."""
