"""Records and codes of the core, read from one place; what the core itself fixes beside them."""

from trader.codes import *  # noqa: F403
from trader.records import *  # noqa: F403

CORE_VERSION = 2
MAX_WORKING_ORDERS = 16  # working orders one symbol can hold at once
