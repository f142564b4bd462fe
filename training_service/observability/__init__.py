"""What of the running service can be seen from outside: metrics, traces, ids in logs."""
