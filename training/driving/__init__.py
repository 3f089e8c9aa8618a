"""Driving in CarRacing: a simulator, an expert who obeys commands, a recorder, and a run through the service."""
