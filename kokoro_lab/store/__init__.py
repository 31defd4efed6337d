"""Versioned result tables."""
