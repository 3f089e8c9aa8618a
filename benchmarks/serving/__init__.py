"""How good the service is: beside its ceiling, beside rivals, overloaded, for a long time, and when things break.

    python -m benchmarks.serving ceiling|costs|rivals|overload|soak|faults --help

A command starts servers as processes of their own, and the load generator too, so that the CPU of each is told
apart. All that is known of a server is HTTP; every answer is compared with the one computed in process."""
