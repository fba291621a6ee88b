"""Their descent, in a framework that is not installed."""

import a_framework_that_nobody_has  # type: ignore[import-not-found]

prepare = a_framework_that_nobody_has.descent
