"""What holds for every test."""

from __future__ import annotations

import os

# LiteLLM otherwise fetches its price list over the network while it is imported, and tests need no network
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
