"""The laboratory of the reproduction book: what makes its records, and what it says of them.

It imports fvlib; nothing in fvlib imports it.
"""
