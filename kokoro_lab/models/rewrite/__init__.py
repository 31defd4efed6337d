"""Graph rewriting: folding, splitting, quantisation, and the compiled operators."""
