"""Other engines and other onnxruntime builds: their environments, files and adapters."""
