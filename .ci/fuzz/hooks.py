"""What a schema cannot say of a request, for schemathesis."""

import schemathesis
from schemathesis import GenerationMode

# A node waits until its deadline for a state that is far ahead, and then answers with the
# documented 503. Once is enough; the fuzzer would do nothing else.
MIN_SEQ_MAX = 2
# How the fuzzer calls headers that no operation has. HTTP ignores such.
STRANGERS = ("x-schemathesis-", "schemathesis-unknown-", "unknown-property-")


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


def is_listing(case):
    return case.operation.definition.raw["operationId"] == "listOrders"


@schemathesis.hook
def before_call(context, case, **kwargs):
    query = case.query or {}
    min_seq = str(query.get("min_seq", ""))
    if min_seq.isdigit() and int(min_seq) > MIN_SEQ_MAX:
        query["min_seq"] = str(int(min_seq) % (MIN_SEQ_MAX + 1))
    # A request has at most one order: no pages. Examples are not filtered.
    if is_positive(case) and is_listing(case) and "request_id" in query:
        query.pop("after", None)
        query.pop("limit", None)


@schemathesis.hook
def filter_case(context, case):
    headers, query = case.headers or {}, case.query or {}
    if any(name.lower().startswith(STRANGERS) for name in headers):
        return False
    if not is_positive(case):
        return True
    # A later attempt needs the key of the first.
    attempt = str(headers.get("flashnode-attempt", ""))
    if attempt.isdigit() and int(attempt) > 1 and "idempotency-key" not in headers:
        return False
    # The fuzzer takes a tag for the number in it, and sends that.
    if str(headers.get("if-match", "")).isdigit():
        return False
    # A request is a user's.
    return not (is_listing(case) and "request_id" in query and "user_id" not in query)
