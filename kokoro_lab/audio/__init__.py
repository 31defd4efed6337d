"""Audio signals: files, loudness, joins and comparison."""
