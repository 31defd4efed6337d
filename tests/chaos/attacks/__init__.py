"""The attacks: each module has an `ATTACK`, or several in `ATTACKS`."""
