"""The charts of each notebook."""
