"""Studies on the noisy quadratic, where theory has the answer: their cases, trials and
predictions."""
