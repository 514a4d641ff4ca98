"""Rules that only compute: values in, decisions out."""
