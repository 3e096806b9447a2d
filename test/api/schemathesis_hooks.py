"""
What no schema can say: cursors and page tokens are made by the service alone, and integers that a double cannot hold and the
member `__proto__` are refused within open objects, too. A revision that is demanded must have been given
out, and what is fresher than the source is refused with 503. A token must be one that the policy set declares, signed by an issuer. A filter is a condition in a language of its own. Requests are
made without them. A hold that begins at some time is asked for without an end, and none ends with the last day that can be written. The reason of an
erasure may not name the person. A candidate is a version here, since
no schema makes files that serve, and a canary alone has subjects and must be compared. An export with its proof has one form.
A wait for a bundle is a second at most. Records of a client are sent now, by its clock.
"""

import re
from datetime import datetime, timezone

import schemathesis

LARGEST = 2**53 - 1
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt][\d:.]+([Zz]|[+-]\d\d:\d\d)")


@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)
        case.query.pop("filter", None)
        if "proof" in case.query:
            case.query.pop("expand", None)
            case.query.pop("format", None)
        if case.path.endswith("/bundle") and size(case.query.get("wait")) and case.query["wait"] <= 60:
            case.query["wait"] = min(1, case.query["wait"])
        if case.path.endswith("/checkpoints/consistency"):
            sizes = {name: 0 for name, value in case.query.items() if name in ("from", "to") and size(value)}
            case.query.update(sizes)
    if case.headers is not None:
        case.headers.pop("Verdict-At-Least", None)
        case.headers.pop("Verdict-Max-Staleness", None)
    if isinstance(case.body, (dict, list)):
        case.body = exact(case.body)
        for asked in demanding(case.body):
            asked.pop("atLeast", None)
            asked.pop("maxStaleness", None)
            tokens = asked.get("tokens")
            if isinstance(tokens, dict) and all(isinstance(token, str) for token in tokens.values()):
                asked.pop("tokens")
        if isinstance(case.body, dict) and "from" in case.body:
            case.body.pop("to", None)
        if case.path == "/v1/holds" and isinstance(case.body, dict):
            for name in ("from", "to"):
                if str(case.body.get(name)).startswith("9999-12-31"):
                    case.body.pop(name)
        if case.path.endswith("/simulations") and isinstance(case.body, dict):
            case.body.pop("filter", None)
            if isinstance(case.body.get("candidate"), dict) and "files" in case.body["candidate"]:
                case.body["candidate"] = {"version": "sha256:" + "0" * 64}
            elif case.body.get("candidate") == {}:
                case.body["candidate"] = {"version": "sha256:" + "0" * 64}
        if isinstance(case.body, dict) and isinstance(case.body.get("page"), dict):
            case.body["page"].pop("token", None)
        if isinstance(case.body, dict) and case.path.endswith("/candidate") and "mode" in case.body:
            one_content(case.body)
        if isinstance(case.body, dict) and TIME.fullmatch(str(case.body.get("sentAt"))):
            case.body["sentAt"] = datetime.now(timezone.utc).isoformat()
        if isinstance(case.body, dict) and case.path.startswith("/v1/erasures"):
            other_reason(case.body)


def size(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def demanding(body):
    """The objects of a body that may demand a revision."""
    if isinstance(body, dict):
        requests = body.get("requests")
        inner = requests if isinstance(requests, list) else []
        return [each for each in [body, body.get("defaults"), *inner] if isinstance(each, dict)]
    return []


def one_content(body):
    body.pop("files", None)
    body.setdefault("version", "sha256:" + 64 * "0")
    if body["mode"] == "shadow":
        body.pop("subjects", None)
    elif body["mode"] == "canary":
        body.setdefault("subjects", 0.5)
        if body.get("sample") == 0:
            body.pop("sample")


def other_reason(body):
    person = body.get("subject", body.get("resource"))
    reason = body.get("reason")
    if isinstance(person, str) and isinstance(reason, str) and person in reason and person:
        body["reason"] = "1" if person == "0" else "0"


def exact(value):
    if isinstance(value, dict):
        return {name: exact(member) for name, member in value.items() if name != "__proto__"}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-LARGEST, min(LARGEST, value))
    return value
