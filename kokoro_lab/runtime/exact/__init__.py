"""The exact form of the default model on compiled kernels: which file it is, and the process that makes it."""
