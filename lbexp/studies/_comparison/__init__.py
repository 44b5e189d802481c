"""What studies share that tune several things with one budget and compare them: tuning, measures,
scaling fits."""
