"""The stages of scripts/accelerator_check.py: one file, one stage, whose function is `measure`."""
