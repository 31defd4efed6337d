"""The model graph, its weights, voices and files; nothing here runs a model."""
