"""onnxruntime sessions, and the providers that really ran."""
