"""Commands that decide which form of a model is the default: `models prepare`, `models tune` and `models search`."""
