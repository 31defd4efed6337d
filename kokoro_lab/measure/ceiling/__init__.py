"""The limits of the machine: its peak rates, and the number of operations that a model executes."""
