"""The same trained model behind other servers, each set up as its own documentation advises.

They run in an environment of their own (requirements.txt); `python -m benchmarks.serving rivals` starts them."""
