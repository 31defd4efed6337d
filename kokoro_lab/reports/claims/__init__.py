"""Published claims and their resolution against the rows of a run."""
