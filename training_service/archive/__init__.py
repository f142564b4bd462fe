"""The archive: objects in a store, each with the records of some sessions of one athlete."""
