"""Versioned result tables."""

from __future__ import annotations

from kokoro_lab.store.store import RunRecord, Store

__all__ = ["RunRecord", "Store"]
