"""From text to phoneme tokens."""
