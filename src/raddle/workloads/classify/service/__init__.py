"""The HTTP service: the seed's `/classify-category`, and jobs that survive the process, beside it."""
