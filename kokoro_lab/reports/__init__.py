"""Charts, claims and the rendered report."""
