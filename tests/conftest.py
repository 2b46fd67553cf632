"""What all tests share."""

import signal

from hypothesis import settings

# Ignored, as of a job in the background, it would be ignored by the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example may take says more about the machine than about the code.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")
