"""What may be in the result tables: checks of rows, foreign archives, and the care of a store that was damaged."""
