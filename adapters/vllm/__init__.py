"""forebay inside vLLM: a wrapped engine, its server, and offline use. Nothing here imports vLLM before it is used."""
