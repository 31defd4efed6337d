"""The model graph, built from the architecture and a state dict."""
