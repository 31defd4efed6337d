"""The model graph, its weights, voices and files; nothing runs here."""
