"""The table of `make bench`: one module a row, ours beside bare library calls and peers, in one run on the same files.

Each row measures and says what it found; none of them knows a promise. What is promised stands in bench/budget.toml,
and judge.py holds the one against the other.
"""
