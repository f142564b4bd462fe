"""What is learned from many athletes' logs, and whether it is worth using.

Works on an exported Parquet file alone: without a database, and without a service. A forecast is
of the effective repetitions that an athlete does of an exercise in the next session that has it.
scikit-learn is needed to train and to back-test, and not to forecast; see docs/backtest.md.
"""
