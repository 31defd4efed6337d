"""Model files that nobody knows, opened in a process of their own before the engine opens them."""
