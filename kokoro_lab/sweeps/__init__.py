"""Sweeps: plans, their jobs, and the notebooks that papermill executes."""
