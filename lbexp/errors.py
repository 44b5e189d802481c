"""What lbexp refuses, apart from what goes wrong."""


class Refusal(ValueError):
    """A request that lbexp refuses: the value, the rule, the remedy, in one line that the commands print as it is.

    Any other exception is a defect, in a part of the user's or in lbexp, and is told with the place that raised it.
    """
