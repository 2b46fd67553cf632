"""Following files through rotation: what the `file` listener decides, in plain blocking functions.

Everything here runs in a thread, one call at a time, and touches neither books nor positions: it
gives steps, which the listener takes in their order.
"""
