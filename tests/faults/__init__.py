"""
Faults: what becomes of every single request while sides, connections, disks or the gateway itself fail.

`make faults` runs them at length; `test_faults.py` runs the most important ones for a few seconds each.
"""
