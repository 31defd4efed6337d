"""What a run shows: the answer, bounds, recommendations, history."""
