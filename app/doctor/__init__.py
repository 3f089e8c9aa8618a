"""`python -m app doctor`: what is amiss on this machine, and which settings are best for it.

checks ──► bench, rounds (measure) ──► choice ──► report (a table, a settings file)"""
