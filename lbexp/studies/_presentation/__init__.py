"""Tables and figures of single studies, whose question and claims are a file of `lbexp.studies`."""
