"""The built-in data set: drawn birds in CUB-200-2011's layout."""
