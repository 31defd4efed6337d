"""A second, quiet witness beside the clock: counts that have no noise of the machine."""
