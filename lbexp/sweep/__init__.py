"""The cohorts of a study over many processes and machines. The truth is in their folders, not in a
scheduler."""
