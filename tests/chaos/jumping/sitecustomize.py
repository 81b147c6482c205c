"""For processes whose clock libfaketime makes jump: it breaks the call that `time.sleep` makes since Python
3.11 (clock_nanosleep on the monotonic clock, which is to stay true), so here that sleeps by select."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
