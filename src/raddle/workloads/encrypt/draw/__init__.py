"""A Sketch as a still drawing (SVG, PNG), as a film of epicycles (MP4, GIF, APNG), and as a page with a player."""
