"""`raddle.run` over files: which files, what is done to each, and what is told of it."""
