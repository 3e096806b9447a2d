/** Made of the service's OpenAPI document by test/packages/client-types.test.ts. */
export interface components {
    schemas: {
        /**
         * @description May this subject do this action on this resource?
         * @example {
         *       "subject": {
         *         "type": "user",
         *         "id": "alice",
         *         "attributes": {
         *           "department": "sales"
         *         }
         *       },
         *       "action": "approve",
         *       "resource": {
         *         "type": "invoice",
         *         "id": "42",
         *         "attributes": {
         *           "amount": 900
         *         }
         *       },
         *       "attributes": {
         *         "ip": "10.0.0.7"
         *       },
         *       "policySet": "invoices"
         *     }
         */
        readonly DecideRequest: {
            /** @description Signed tokens (JWT) by the names that the policy set declares. They are verified by the configured issuers; what is evaluated and recorded are the claims in them, never the tokens. */
            readonly tokens?: {
                readonly [key: string]: string;
            };
            /** @description Default: the configured set, the set named default, or the only one. */
            readonly policySet?: string;
            /**
             * @description How much of the reason the answer carries; brief by default.
             * @enum {string}
             */
            readonly explain?: "none" | "brief" | "full";
            /** @description The revision that the policy set must have at the least, or revisions by policy set, of which that of the set that answers counts. An older one does not answer: after a moment the refusal is 503 `policy_too_old`. */
            readonly atLeast?: number | {
                readonly [key: string]: number;
            };
            /** @description How long ago, such as `30s`, the source of the policy set may have been confirmed last; otherwise the refusal is 503 `policy_too_old`. More than the service accepts by itself has no effect. */
            readonly maxStaleness?: string;
            readonly subject: string | components["schemas"]["EntityBody"];
            readonly action: string | components["schemas"]["ActionBody"];
            readonly resource: string | components["schemas"]["EntityBody"];
            /** @description Attributes of the situation: tenant, address, channel… */
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
            /**
             * Format: date-time
             * @description The time to decide for: where the policy set says `clock: request`, or the caller has scope `explain`.
             */
            readonly at?: string;
        };
        /** @description A DecideRequest: members that are missing are taken from the defaults. */
        readonly PartialDecideRequest: {
            /** @description Signed tokens (JWT) by the names that the policy set declares. They are verified by the configured issuers; what is evaluated and recorded are the claims in them, never the tokens. */
            readonly tokens?: {
                readonly [key: string]: string;
            };
            /** @description Default: the configured set, the set named default, or the only one. */
            readonly policySet?: string;
            /**
             * @description How much of the reason the answer carries; brief by default.
             * @enum {string}
             */
            readonly explain?: "none" | "brief" | "full";
            /** @description The revision that the policy set must have at the least, or revisions by policy set, of which that of the set that answers counts. An older one does not answer: after a moment the refusal is 503 `policy_too_old`. */
            readonly atLeast?: number | {
                readonly [key: string]: number;
            };
            /** @description How long ago, such as `30s`, the source of the policy set may have been confirmed last; otherwise the refusal is 503 `policy_too_old`. More than the service accepts by itself has no effect. */
            readonly maxStaleness?: string;
            readonly subject?: string | components["schemas"]["EntityBody"];
            readonly action?: string | components["schemas"]["ActionBody"];
            readonly resource?: string | components["schemas"]["EntityBody"];
            /** @description Attributes of the situation: tenant, address, channel… */
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
            /**
             * Format: date-time
             * @description The time to decide for: where the policy set says `clock: request`, or the caller has scope `explain`.
             */
            readonly at?: string;
        };
        /** @description Who may do this? */
        readonly WhoCanRequest: {
            readonly subject?: string | components["schemas"]["EntityBody"];
            readonly action: string;
            readonly resource?: string | components["schemas"]["EntityBody"];
            /** @description The request's own attributes; without them, those that the rules name are tried. */
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
            /** @description A version that served once; without it, the one that serves. */
            readonly version?: string;
            /**
             * Format: date-time
             * @description The clock of the decisions; without it, now.
             */
            readonly at?: string;
            /** @description Most permissions in the answer; 10000 by default. */
            readonly limit?: number;
        };
        readonly DataChangeRequest: {
            readonly add?: components["schemas"]["DataToAdd"];
            /** @description It is removed before anything is added. */
            readonly remove?: components["schemas"]["DataToRemove"];
        };
        /** @description Who asks, or what is asked for. */
        readonly EntityBody: {
            readonly type?: string;
            readonly id: string;
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
        };
        /** @description What would be done. */
        readonly ActionBody: {
            readonly name: string;
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
        };
        readonly DataToAdd: {
            /** @description Links of role definitions, each as a line of a rules file: `["g", "user:ana", "editor"]`. */
            readonly roles?: readonly (readonly string[])[];
            readonly entities?: readonly components["schemas"]["EntityBodyToAdd"][];
        };
        readonly DataToRemove: {
            /** @description Links of role definitions, each as a line of a rules file: `["g", "user:ana", "editor"]`. */
            readonly roles?: readonly (readonly string[])[];
            readonly entities?: readonly components["schemas"]["EntityNameBody"][];
        };
        readonly EntityBodyToAdd: {
            /** @description What `r.sub.x` reads of a subject that is this entity. */
            readonly attributes?: {
                readonly [key: string]: unknown;
            };
            readonly type: string;
            readonly id: string;
        };
        readonly EntityNameBody: {
            readonly type: string;
            readonly id: string;
        };
        /**
         * @description May this subject do this action on this resource?
         * @example {
         *       "subject": {
         *         "type": "user",
         *         "id": "alice",
         *         "properties": {
         *           "department": "sales"
         *         }
         *       },
         *       "action": {
         *         "name": "approve"
         *       },
         *       "resource": {
         *         "type": "invoice",
         *         "id": "42",
         *         "properties": {
         *           "amount": 900
         *         }
         *       },
         *       "context": {
         *         "ip": "10.0.0.7"
         *       }
         *     }
         */
        readonly EvaluationRequest: {
            readonly subject: components["schemas"]["AuthzenEntity"];
            readonly action: components["schemas"]["AuthzenAction"];
            readonly resource: components["schemas"]["AuthzenEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
        } & {
            readonly [key: string]: unknown;
        };
        /** @description A EvaluationRequest: members that are missing are taken from the defaults. */
        readonly PartialEvaluationRequest: {
            readonly subject?: components["schemas"]["AuthzenEntity"];
            readonly action?: components["schemas"]["AuthzenAction"];
            readonly resource?: components["schemas"]["AuthzenEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
        } & {
            readonly [key: string]: unknown;
        };
        /** @description Many questions at once; members at the top are defaults, each replaced as a whole by an item. */
        readonly EvaluationsRequest: {
            readonly subject?: components["schemas"]["AuthzenEntity"];
            readonly action?: components["schemas"]["AuthzenAction"];
            readonly resource?: components["schemas"]["AuthzenEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
            /** @description Each is an EvaluationRequest once the defaults are added. Without any: one evaluation. */
            readonly evaluations: readonly components["schemas"]["PartialEvaluationRequest"][];
            readonly options?: components["schemas"]["EvaluationsOptions"];
        } & {
            readonly [key: string]: unknown;
        };
        /** @description Who may do this action on this resource? */
        readonly SubjectSearchRequest: {
            readonly subject: components["schemas"]["SearchedEntity"];
            readonly action: components["schemas"]["AuthzenAction"];
            readonly resource: components["schemas"]["AuthzenEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
            readonly page?: components["schemas"]["PageRequest"];
        } & {
            readonly [key: string]: unknown;
        };
        /** @description On what may this subject do this action? */
        readonly ResourceSearchRequest: {
            readonly subject: components["schemas"]["AuthzenEntity"];
            readonly action: components["schemas"]["AuthzenAction"];
            readonly resource: components["schemas"]["SearchedEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
            readonly page?: components["schemas"]["PageRequest"];
        } & {
            readonly [key: string]: unknown;
        };
        /** @description What may this subject do on this resource? */
        readonly ActionSearchRequest: {
            readonly subject: components["schemas"]["AuthzenEntity"];
            readonly resource: components["schemas"]["AuthzenEntity"];
            readonly context?: {
                readonly [key: string]: unknown;
            };
            readonly page?: components["schemas"]["PageRequest"];
        } & {
            readonly [key: string]: unknown;
        };
        /** @description A subject or a resource; the id is unique within the type. */
        readonly AuthzenEntity: {
            readonly type: string;
            readonly id: string;
            readonly properties?: {
                readonly [key: string]: unknown;
            };
        } & {
            readonly [key: string]: unknown;
        };
        /** @description What would be done. */
        readonly AuthzenAction: {
            readonly name: string;
            readonly properties?: {
                readonly [key: string]: unknown;
            };
        } & {
            readonly [key: string]: unknown;
        };
        readonly EvaluationsOptions: {
            /**
             * @description After which answer the rest is not asked; the response is then shorter than the request.
             * @enum {string}
             */
            readonly evaluations_semantic?: "execute_all" | "deny_on_first_deny" | "permit_on_first_permit";
        } & {
            readonly [key: string]: unknown;
        };
        /** @description What is searched for. An id, and properties, are ignored. */
        readonly SearchedEntity: {
            readonly type: string;
        } & {
            readonly [key: string]: unknown;
        };
        readonly PageRequest: {
            /** @description `next_token` of the page before; everything else must be as it was then. */
            readonly token?: string;
            /** @description The most results to return. Left out with a token: as it was for the first page. */
            readonly limit?: number;
        } & {
            readonly [key: string]: unknown;
        };
        /** @description The answer; it may go forward only if `allowed` is true. */
        readonly DecisionAnswer: {
            readonly allowed: boolean;
            /** @enum {string} */
            readonly decision: "allow" | "deny";
            /** @description Under this id the decision is in the decision log (UUIDv7). */
            readonly decisionId: string;
            readonly policySet: string;
            /** @description Digest of the policy set that it was computed from: `sha256:` and 64 hexadecimal digits. */
            readonly policyVersion: string;
            /** @description The revision of the policy set that it was computed from, where its source gives revisions. */
            readonly revision?: number;
            /**
             * @description Given when the policy set's candidate answered: `policyVersion` is its version.
             * @enum {string}
             */
            readonly candidate?: "canary";
            /** @description Why. `explain: none` leaves only the code. */
            readonly reason: components["schemas"]["DecisionReason"];
            /** @description What the caller must do when it acts on the answer; from the deciding rule. */
            readonly obligations: readonly unknown[];
            readonly advice?: readonly unknown[];
            /** @description What went wrong while deciding. An error never turns a deny into an allow. */
            readonly errors: readonly components["schemas"]["DecisionFault"][];
            /** @description With `explain: full`: all that matched, what nearly did, and what would change the answer. */
            readonly explanation?: components["schemas"]["DecisionExplanation"];
        };
        readonly AccessReviewAnswer: {
            readonly policySet: string;
            readonly policyVersion: string;
            readonly revision?: number;
            /**
             * Format: date-time
             * @description The clock of the decisions.
             */
            readonly clock: string;
            readonly permissions: readonly components["schemas"]["PermissionAnswer"][];
            /** @description How many questions were asked. */
            readonly examined: number;
            /** @description Whether the list covers every case that the engine can decide. */
            readonly complete: boolean;
            /** @description What was not enumerated, with its place; empty if it is complete. */
            readonly limits: readonly string[];
            /** @description How many names were not asked about since they are names of roles. */
            readonly rolesLeftOut: number;
        };
        readonly ChangedData: {
            readonly set: string;
            /** @description The version of the set with the change. */
            readonly version: string;
            /** @description The revision to demand (`atLeast`) of an answer that must know this change. */
            readonly revision: number;
            /** @description How many role links and entities are new: those that were there already are not counted. */
            readonly added: number;
            /** @description How many role links and entities are gone. */
            readonly removed: number;
        };
        /** @description `decision: true` and nothing else may go forward. */
        readonly AuthzenDecision: {
            readonly decision: boolean;
            readonly context: components["schemas"]["DecisionContext"] | components["schemas"]["FailureContext"];
        };
        readonly EntitySearchAnswer: {
            readonly results: readonly components["schemas"]["FoundEntity"][];
            readonly page: components["schemas"]["SearchPageInfo"];
            readonly context: components["schemas"]["SearchContext"];
        };
        readonly ActionSearchAnswer: {
            readonly results: readonly components["schemas"]["FoundAction"][];
            readonly page: components["schemas"]["SearchPageInfo"];
            readonly context: components["schemas"]["SearchContext"];
        };
        /** @description What went wrong (RFC 9457). */
        readonly Problem: {
            /** @description `urn:verdict:problem:` and the code, such as `invalid_request`. */
            readonly type: string;
            readonly title: string;
            readonly status: number;
            readonly detail: string;
            /** @description This occurrence: `urn:verdict:request:` and the request id, which the log has too. */
            readonly instance: string;
            /** @description Every fault; with status 400 there is one at least. */
            readonly errors?: readonly components["schemas"]["RequestFault"][];
            /** @description Of a decision that is not found while a replica has records that it did not ship to the shared decision log: the number of its writer there. Another try may find it. */
            readonly writer?: number;
            /**
             * Format: date-time
             * @description Given with `writer`: its records from before this time are there.
             */
            readonly shippedTo?: string;
            /** @description Of `records_missing`: the number of the record that is wanted next. */
            readonly next?: number;
        };
        readonly DecisionReason: {
            /** @enum {string} */
            readonly code: "rule_allowed" | "rule_denied" | "no_matching_rule" | "allowed_by_default" | "evaluation_error" | "domain_conflict" | "unknown_entity" | "schema_violation" | "step_budget_exceeded" | "obligation_unsupported";
            /** @description The deciding rule, its type first. */
            readonly rule?: readonly string[];
            readonly file?: string;
            readonly line?: number;
            /** @description What the deciding rule's own `reason` column says. */
            readonly message?: unknown;
        };
        readonly DecisionFault: {
            readonly code: string;
            readonly message: string;
            /** @description Where in the request, as a JSON pointer. */
            readonly pointer?: string;
            /** @description The rule that failed, its type first; without it the fault is outside any rule. */
            readonly rule?: readonly string[];
            readonly file?: string;
            readonly line?: number;
        };
        readonly DecisionExplanation: {
            /** @description One sentence for a person: why, and for a deny what was missing. */
            readonly summary: string;
            readonly matching: readonly components["schemas"]["RuleThatMatches"][];
            readonly nearMisses: readonly components["schemas"]["RuleThatNearlyMatches"][];
            /** @description What would allow. Each was verified by deciding again. */
            readonly changes: readonly components["schemas"]["RuleWithinReach"][];
            /** @description False when there were more rules, or more to tell, than an explanation holds. */
            readonly complete: boolean;
        };
        readonly PermissionAnswer: {
            readonly subject: components["schemas"]["ReviewedEntity"];
            readonly action: string;
            readonly resource: components["schemas"]["ReviewedEntity"];
            /** @description The request's own attributes under which it holds. */
            readonly context: {
                readonly [key: string]: unknown;
            };
            /** @description The condition under which it holds, over attributes that are neither stored nor given; left out if always. */
            readonly if?: string;
            /** @description From the subject to the role in the rule; empty if the rule needs no role. */
            readonly path: readonly string[];
            /** @description The rule that allows, its type first. */
            readonly rule?: readonly string[];
            readonly file?: string;
            readonly line?: number;
            /** @description For whom it stands beside what it names, in words: `any other`, or the patterns that match. */
            readonly witness?: components["schemas"]["WitnessParts"];
        };
        readonly DecisionContext: {
            /** @description Under this id the decision is in the decision log. */
            readonly id: string;
            readonly policy_set: string;
            readonly policy_version: string;
            /** @description Of the policy set at its source, where that gives revisions. */
            readonly revision?: number;
            /**
             * @description Given when the policy set's candidate answered.
             * @enum {string}
             */
            readonly candidate?: "canary";
            readonly reason: components["schemas"]["DecisionReason"];
            /** @description By language tag. */
            readonly reason_admin: {
                readonly [key: string]: string;
            };
            /** @description What the `reason` column of the deciding rule says; of a deny at least that it is one. */
            readonly reason_user?: {
                readonly [key: string]: string;
            };
            readonly obligations?: readonly unknown[];
            readonly advice?: readonly unknown[];
            readonly errors?: readonly components["schemas"]["DecisionFault"][];
        };
        readonly FailureContext: {
            readonly error: components["schemas"]["ItemFailure"];
        };
        readonly FoundEntity: {
            readonly type: string;
            readonly id: string;
            readonly context?: components["schemas"]["FoundContext"];
        };
        readonly SearchPageInfo: {
            /** @description Empty when there is nothing left to look at. */
            readonly next_token: string;
            readonly count: number;
            readonly properties: components["schemas"]["SearchExtent"];
        };
        readonly SearchContext: {
            /** @description Under this id the search is in the decision log. */
            readonly id: string;
            readonly policy_set: string;
            readonly policy_version: string;
            /** @description Of the policy set at its source, where that gives revisions. */
            readonly revision?: number;
        };
        readonly FoundAction: {
            readonly name: string;
            readonly context?: components["schemas"]["FoundContext"];
        };
        readonly RequestFault: {
            /** @description Where in the request, as a JSON pointer; empty for the whole of it. */
            readonly pointer: string;
            readonly detail: string;
        };
        readonly RuleThatMatches: {
            readonly roles: readonly components["schemas"]["HeldRole"][];
            /** @description The rule, its type first. */
            readonly rule: readonly string[];
            readonly effect: string;
            readonly file: string;
            readonly line: number;
        };
        readonly RuleThatNearlyMatches: {
            readonly failed: readonly components["schemas"]["TermThatFailed"][];
            /** @description The rule, its type first. */
            readonly rule: readonly string[];
            readonly effect: string;
            readonly file: string;
            readonly line: number;
        };
        readonly RuleWithinReach: {
            readonly changes: readonly (components["schemas"]["RequestChange"] | components["schemas"]["RoleChange"])[];
            /** @description The rule, its type first. */
            readonly rule: readonly string[];
            readonly effect: string;
            readonly file: string;
            readonly line: number;
        };
        readonly ReviewedEntity: {
            readonly type?: string;
            readonly id: string;
        };
        readonly WitnessParts: {
            readonly subject?: components["schemas"]["WitnessWords"];
            readonly action?: string;
            readonly resource?: components["schemas"]["WitnessWords"];
            readonly context?: {
                readonly [key: string]: string;
            };
        };
        readonly ItemFailure: {
            readonly status: number;
            readonly message: string;
        };
        readonly FoundContext: {
            /** @description In the form of the draft on obligations: `{id, type, properties}`. */
            readonly obligations: readonly unknown[];
        };
        readonly SearchExtent: {
            /** @description Whether every candidate that a rule could allow was decided, with the pages before. */
            readonly complete: boolean;
            /** @enum {string} */
            readonly stopped_by?: "limit" | "budget";
            /** @description How many candidates were decided for this page. */
            readonly examined: number;
            /** @description How many names of rules were not tried since they are names of roles; left out when none was. */
            readonly roles_left_out?: number;
        };
        readonly HeldRole: {
            readonly definition: string;
            /** @description From who holds the role to the role. */
            readonly path: readonly string[];
            readonly domain?: string;
        };
        readonly TermThatFailed: {
            /** @description A term of the matcher, or of a condition of the rule, that did not hold. */
            readonly term: string;
            readonly operands: readonly components["schemas"]["OperandRead"][];
            readonly message: string;
        };
        readonly RequestChange: {
            /** @enum {string} */
            readonly kind: "request";
            readonly path: string;
            readonly from?: unknown;
            readonly to: unknown;
        };
        readonly RoleChange: {
            /** @enum {string} */
            readonly kind: "role";
            readonly definition: string;
            /** @description Who would hold the role. */
            readonly name: string;
            readonly role: string;
            readonly domain?: string;
        };
        readonly WitnessWords: {
            readonly type?: string;
            readonly id?: string;
        };
        readonly OperandRead: {
            readonly text: string;
            readonly value: unknown;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
