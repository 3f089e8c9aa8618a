"""Galleries in SQLite: one file each, with an index in memory."""
