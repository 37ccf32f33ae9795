"""Sign-in with an Ethereum key: who asks, and what he is to the consortium.

``message`` reads and writes what is signed, ``signatures`` says whose key signed it, ``nonces`` lets each
message be used once, ``desk`` judges a sign-in, ``tokens`` keeps who is signed in, ``callers`` looks up at
each request what he is to the consortium, ``sessions`` are browsers' and ``codes`` let them in, ``routes``
answers. ``guard`` stands before all routes, and ``connections`` before it. ``log`` keeps who looked at what,
``recorder`` writes it, ``log_routes`` shows it, ``following`` checks that it only grew. ``payloads`` gives
out bytes, ``wallets`` asks contract accounts.
"""
