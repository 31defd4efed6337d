"""Recovery of the parameters from files that other exporters wrote."""
