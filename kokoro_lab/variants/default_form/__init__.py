"""What becomes the default: the exact form of a model, and how variants are compared until each is decided."""
