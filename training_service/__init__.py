"""The Training Service: what calisthenics athletes plan, do and become able to do."""
