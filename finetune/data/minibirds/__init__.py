"""The embedded data set: pictures of birds, drawn, in CUB-200-2011's layout."""
