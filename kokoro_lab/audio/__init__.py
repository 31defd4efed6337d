"""Sound itself: files, loudness, joins and comparison."""
