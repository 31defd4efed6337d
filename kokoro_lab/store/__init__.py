"""Versioned result tables."""

from __future__ import annotations

from kokoro_lab.store.rows import NotebookRun, RunRecord
from kokoro_lab.store.store import Store
from kokoro_lab.store.store_reader import StoreReader

__all__ = ["NotebookRun", "RunRecord", "Store", "StoreReader"]
