"""Catalogues from files, their labels into files."""
