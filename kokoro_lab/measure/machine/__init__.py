"""The machine: its fingerprint, its page cache and energy, and what else it is doing."""
