"""
Uses the Python client that was generated from the service's OpenAPI document: test/api/clients.test.ts compares what it prints
with what the client of TypeScript does.
"""

import json
import os

from verdict_client import AuthenticatedClient, Client
from verdict_client.api.authzen import evaluate_access, evaluate_access_batch, search_subjects
from verdict_client.api.decide import decide, decide_batch
from verdict_client.api.decisions import count_decisions, export_decisions, read_decision, search_decisions
from verdict_client.models import (
    AuthzenAction,
    AuthzenDecision,
    AuthzenDecisions,
    AuthzenEntity,
    BatchAnswer,
    BatchProblem,
    DecideBatchRequest,
    DecideRequest,
    DecisionAnswer,
    DecisionPage,
    DecisionRecord,
    DecisionStats,
    EntityBody,
    EntitySearchAnswer,
    EvaluationRequest,
    EvaluationsOptions,
    EvaluationsRequest,
    PartialDecideRequest,
    PartialEvaluationRequest,
    Problem,
    SearchedEntity,
    SubjectSearchRequest,
)

url = os.environ["VERDICT_URL"]
client = AuthenticatedClient(base_url=url, token=os.environ["VERDICT_KEY"])


def answered(answer, kind):
    assert isinstance(answer, kind), answer
    return answer


def entity(type, id, **attributes):
    return EntityBody.from_dict({"type": type, "id": id, "attributes": attributes})


ann = entity("user", "ann", department="sales", tags=["a", 1])
doc = entity("doc", "doc-1", owner={"id": "ann"})
question = DecideRequest.from_dict(
    {"subject": ann.to_dict(), "action": "read", "resource": doc.to_dict(), "attributes": {"ip": "10.0.0.7"}}
)
decision = answered(decide.sync(client=client, body=question), DecisionAnswer)

# The last one lacks what no default has: the service answers it with a problem.
requests = [
    PartialDecideRequest(resource=doc),
    PartialDecideRequest(resource="doc-2", explain="none"),
    PartialDecideRequest(),
]
body = DecideBatchRequest(defaults=PartialDecideRequest(subject=ann, action="read"), requests=requests)
batch = [
    each.problem.type_ if isinstance(each, BatchProblem) else each.decision
    for each in answered(decide_batch.sync(client=client, body=body), BatchAnswer).decisions
]

page = answered(search_decisions.sync(client=client, subject="ann", decision="allow", limit=10), DecisionPage)
record = answered(read_decision.sync(decision.decision_id, client=client), DecisionRecord)
stats = answered(count_decisions.sync(client=client, by=["decision", "policySet"]), DecisionStats)

subject = AuthzenEntity.from_dict({"type": "user", "id": "ann", "properties": {"department": "sales"}})
read = AuthzenAction(name="read")
first, second = AuthzenEntity(type_="doc", id="doc-1"), AuthzenEntity(type_="doc", id="doc-2")
evaluation = answered(
    evaluate_access.sync(client=client, body=EvaluationRequest(subject=subject, action=read, resource=first)),
    AuthzenDecision,
)
items = [PartialEvaluationRequest(resource=first), PartialEvaluationRequest(resource=second)]
options = EvaluationsOptions(evaluations_semantic="execute_all")
many = EvaluationsRequest(subject=subject, action=read, evaluations=items, options=options)
evaluations = answered(evaluate_access_batch.sync(client=client, body=many), AuthzenDecisions)
wanted = SubjectSearchRequest(subject=SearchedEntity(type_="user"), action=read, resource=first)
found = answered(search_subjects.sync(client=client, body=wanted), EntitySearchAnswer)

exported = answered(export_decisions.sync(client=client, format_="ndjson"), str)

refused = DecideRequest.from_dict({**question.to_dict(), "resource": "doc\0"})
problem = answered(decide.sync(client=client, body=refused), Problem)
anonymous = answered(search_decisions.sync(client=Client(base_url=url)), Problem)

print(
    json.dumps(
        {
            "decision": {"allowed": decision.allowed, "code": decision.reason.code, "rule": decision.reason.rule},
            "batch": batch,
            "page": [[item.request.resource.id, item.decision] for item in page.items],
            "record": {"attributes": record.request.subject.attributes.to_dict(), "via": record.via},
            "counts": [[item.policy_set, item.decision, item.count] for item in stats.items],
            "evaluation": evaluation.decision,
            "evaluations": [each.decision for each in evaluations.evaluations],
            "found": [f"{each.type_}:{each.id}" for each in found.results],
            "exported": len(exported.rstrip().split("\n")),
            "problem": {
                "type": problem.type_,
                "status": problem.status,
                "faults": [fault.pointer for fault in problem.errors],
            },
            "anonymous": anonymous.status,
        }
    )
)
