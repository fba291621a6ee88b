"""Signals that end a run: the first is Ctrl-C, which keeps what is complete; those after it cut nothing short."""

import signal
import threading
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def install_signal_handlers() -> None:
    """From now on each of them is Ctrl-C, once; but who ignores one (nohup does) has his reasons."""
    if threading.current_thread() is threading.main_thread():
        for ending in ENDING:
            if signal.getsignal(ending) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(ending, _interrupt)


def ignore() -> None:
    """From now on none of them does anything: the run ends, and what it has is about to be saved."""
    for ending in ENDING:
        if signal.getsignal(ending) is _interrupt:
            signal.signal(ending, signal.SIG_IGN)


def _interrupt(number: int, frame: Any) -> None:
    ignore()
    raise KeyboardInterrupt
