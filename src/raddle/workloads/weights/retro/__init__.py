"""The retrospective pass: readings that only hindsight shows to be wrong are taken out, and what followed is redone."""
