"""Signals that end a run: the first acts like Ctrl-C and keeps finished cases, later ones are ignored."""

import signal
import threading
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def install_signal_handlers() -> None:
    """Make the first of these signals act like Ctrl-C. A signal that is already ignored (nohup) stays ignored."""
    if threading.current_thread() is threading.main_thread():
        for ending in ENDING:
            if signal.getsignal(ending) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(ending, _interrupt)


def ignore() -> None:
    """Ignore all of them: the run is ending and is about to be saved."""
    for ending in ENDING:
        if signal.getsignal(ending) is _interrupt:
            signal.signal(ending, signal.SIG_IGN)


def _interrupt(number: int, frame: Any) -> None:
    ignore()
    raise KeyboardInterrupt
