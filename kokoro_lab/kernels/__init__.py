"""Optional compiled operators: faster convolutions for the part of Kokoro behind the harmonic source."""
