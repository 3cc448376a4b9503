from __future__ import annotations

from tests.adapters.milvus.conftest import asked, database, keyring, older, prepared, relay

__all__ = ["asked", "database", "keyring", "older", "prepared", "relay"]
