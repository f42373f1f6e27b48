"""
The demo: two small real applications, their traffic, and the story of a migration told in a terminal.

Top floor. Nothing of the gateway imports from here, and a gateway that runs elsewhere never needs it.
"""
