"""
What Banyan costs, beside its peers: one run on one machine, `make bench`.

README.md in this folder tells how to read it. Nothing here is imported by the product, and nothing leaves loopback.
"""
