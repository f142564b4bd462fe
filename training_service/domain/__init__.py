"""Rules and arithmetic of training: pure functions and frozen values, no I/O, no protobuf."""
