"""The drawing as it happens: a renderer that many threads may share, and what it can draw on."""
