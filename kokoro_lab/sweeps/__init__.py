"""Plans, and the notebooks that papermill executes."""
