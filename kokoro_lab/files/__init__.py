"""Files that may be hostile, damaged or interrupted: bounded reading, documents, and writing whole or not at all."""
