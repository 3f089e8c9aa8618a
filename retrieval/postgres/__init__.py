"""Galleries in PostgreSQL, with pgvector: shared by all replicas that are given its address."""
