"""Names of spans, attributes and metrics, as a contract.

``gen_ai.*`` names follow the OpenTelemetry GenAI conventions 1.41, the last version inside the main
semantic-conventions repository; ``forebay.*`` covers what has no convention (response caches, queues). A
kept answer is not a provider's prompt cache, so ``gen_ai.usage.cache_read.*`` is never used for a hit, and a
hit has no inference span.
"""

from __future__ import annotations

from typing import Final

SPAN_REQUEST: Final = "forebay.request"
SPAN_ANALYZE: Final = "forebay.analyze"
SPAN_LOOKUP: Final = "forebay.cache.lookup"
SPAN_EMBED: Final = "embeddings"
SPAN_SEARCH: Final = "search"
SPAN_VERIFY: Final = "forebay.cache.verify"
SPAN_ADMISSION: Final = "forebay.admission"
SPAN_SETTLE: Final = "forebay.settle"

REQUEST_ID: Final = "forebay.request.id"
TENANT_HASH: Final = "forebay.tenant.hash"
OUTCOME: Final = "forebay.outcome"
ENDING: Final = "forebay.ending"
ANALYZE_TASK: Final = "forebay.analyze.task"
ANALYZE_INPUT_TOKENS: Final = "forebay.analyze.input_tokens"
ANALYZE_CACHEABLE: Final = "forebay.analyze.cacheable"
ANALYZE_REASON: Final = "forebay.analyze.reason"
CACHE_MODE: Final = "forebay.cache.mode"
CACHE_DECISION: Final = "forebay.cache.decision"
CACHE_SIMILARITY: Final = "forebay.cache.similarity"
CACHE_AGE: Final = "forebay.cache.entry.age_s"
CACHE_MISS_REASON: Final = "forebay.cache.miss_reason"
CACHE_TOPK: Final = "forebay.cache.topk"
VERIFY_RESULT: Final = "forebay.verify.result"
VERIFY_REASON: Final = "forebay.verify.reason"
QUEUE_DEPTH: Final = "forebay.queue.depth"
QUEUE_WAIT: Final = "forebay.queue.wait_s"
ADMISSION_OUTCOME: Final = "forebay.admission.outcome"
SHED_REASON: Final = "forebay.shed.reason"
WRITE_OUTCOME: Final = "forebay.write.outcome"
WRITE_SKIP_REASON: Final = "forebay.write.skip_reason"
WRITE_TTL: Final = "forebay.write.ttl_s"
WRITE_EVICTED: Final = "forebay.write.evicted"

OPERATION: Final = "gen_ai.operation.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
USAGE_INPUT: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT: Final = "gen_ai.usage.output_tokens"
PROVIDER: Final = "gen_ai.provider.name"
ERROR_TYPE: Final = "error.type"
EVENT_FIRST_TOKEN: Final = "forebay.first_token"  # noqa: S105  (the name of an event)

METRIC_REQUESTS: Final = "forebay.requests"
METRIC_LOOKUPS: Final = "forebay.cache.lookups"
METRIC_LOOKUP_SECONDS: Final = "forebay.cache.lookup.duration"
METRIC_WRITES: Final = "forebay.cache.writes"
METRIC_EVICTIONS: Final = "forebay.cache.evictions"
METRIC_TOKENS_SAVED: Final = "forebay.cache.tokens_saved"
METRIC_QUEUE_SECONDS: Final = "forebay.queue.wait"
METRIC_SHED: Final = "forebay.requests.shed"
METRIC_AUDITS: Final = "forebay.audits"
METRIC_PROMOTIONS: Final = "forebay.cache.promotions"
METRIC_DEPENDENCY_ERRORS: Final = "forebay.dependency.errors"
METRIC_PLUGIN_ERRORS: Final = "forebay.plugin.errors"
