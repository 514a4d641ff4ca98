"""What is looked at: a page per user, the index, the population report."""
