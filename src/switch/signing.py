"""The former name of `switch.home.signing`; it goes on until version 0.3."""

import sys
import warnings

from switch.home import signing

warnings.warn("switch.signing stands in switch.home.signing now", DeprecationWarning, stacklevel=2)
sys.modules[__name__] = signing
