"""One claim as the claims file holds it, for tests to vary."""

from __future__ import annotations

CLAIM = {
    "id": "one",
    "topic": "Speed",
    "kind": "target",
    "sources": ["a"],
    "words": "Fast.",
    "metric": "ttfa_ms",
    "scenario": "short",
    "unit": "ms",
    "direction": "at most",
    "value": 100,
    "resolve": {"rows": {"text_preset": "short"}, "notebook": "providers"},
}
