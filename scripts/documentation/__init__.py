"""The pages of the documentation that are made when it is built (scripts/build_docs.py)."""
