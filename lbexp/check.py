"""Where the check was before it moved into lbexp.config."""

from lbexp.config.check import check as check
