"""Their descent, for another version of the interface."""

from impls.interface import Descent

prepare = Descent().prepare
