"""A scripted OpenAI- and Anthropic-compatible engine on a loopback port, in a thread of its own."""

from tests.integration.upstream.chat import FINGERPRINT
from tests.integration.upstream.engine import Upstream
from tests.integration.upstream.script import MIDDLE, Call, Hold, Reply

__all__ = ["FINGERPRINT", "MIDDLE", "Call", "Hold", "Reply", "Upstream"]
