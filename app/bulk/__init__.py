"""`python -m app gallery`: galleries read in, written out, checked and copied, without the service."""
