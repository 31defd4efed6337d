"""The process itself: what a fork leaves of it, what it is doing, and how it ends."""
