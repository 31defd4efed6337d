"""Records of what is measured and of the results, which cross process boundaries as JSON."""
