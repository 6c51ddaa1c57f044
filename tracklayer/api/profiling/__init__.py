"""Where a program's time goes: the guest's, counted to the cycle, and the host's, sampled.

For:     `profile` (run.py); what it gives (results.py); folded stacks and flame graphs (flame.py).
Not for: the means: sampling the host (native/sampling.py), counting on the interpreter (translate/tally.py).
"""
