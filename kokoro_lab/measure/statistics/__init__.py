"""Statistics: the only code that computes intervals, tests and verdicts."""
