"""Parts of `kokoro-lab bench` beside the comparisons of engines and models."""
