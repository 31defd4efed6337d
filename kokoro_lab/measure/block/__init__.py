"""Inside the measured process: warm-up, timed calls, load generation and simulated playback."""
