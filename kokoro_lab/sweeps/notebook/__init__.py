"""What runs inside a notebook: its parameters, its bar, and its readings."""
