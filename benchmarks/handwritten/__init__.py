"""What a capable user writes without a serving framework: three FastAPI services, httpx between them, JSON as the wire.

Fair to it: the same engine, decoder and thread count, binary pictures up to the extractor, one pooled client, engines
behind a lock in worker threads. It has no retries, deadlines, breakers or checks.
"""
