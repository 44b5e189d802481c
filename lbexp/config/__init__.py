"""Configurations: what an experiment file starts from, how it is read, overridden and expanded into
trials.

An experiment file has a function `get_config` that returns `base()` with its fields set; `load`
reads it, `override` sets a field from the command line, `trials` expands sweep and search,
`resolve` gives one trial as plain data. What is wrong with a configuration, `lbexp.config.check`
says.
"""

from lbexp.config._experiment_file import docstring as docstring
from lbexp.config._experiment_file import experiment_file as experiment_file
from lbexp.config._experiment_file import experiment_files as experiment_files
from lbexp.config._experiment_file import load as load
from lbexp.config._overriding import assign as assign
from lbexp.config._overriding import field as field
from lbexp.config._overriding import fill_in as fill_in
from lbexp.config._overriding import override as override
from lbexp.config._plain import plain as plain
from lbexp.config._trials import Trial as Trial
from lbexp.config._trials import asked as asked
from lbexp.config._trials import digest as digest
from lbexp.config._trials import resolve as resolve
from lbexp.config._trials import trial_digest as trial_digest
from lbexp.config._trials import trials as trials
from lbexp.config.fields import base as base
