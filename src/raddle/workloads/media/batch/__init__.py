"""`raddle.run` over the files of a library: which, in what order, what is done to each, and how it ended."""
