"""What Ray Serve costs: its replicas beside as many plain processes, in one run. `python -m benchmarks.ray`."""
