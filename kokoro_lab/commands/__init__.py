"""What the commands do; `kokoro_lab.cli` declares them. Each is imported when it is called."""
