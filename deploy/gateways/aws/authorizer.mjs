/**
 * A Lambda authorizer of AWS API Gateway that asks Verdict, for REST APIs (type REQUEST) and for HTTP APIs (payload format 2.0,
 * simple responses). It needs nothing but Node.js 20 or later.
 *
 * Variables: VERDICT_URL (https://pdp.example, or its base for a set: https://pdp.example/sets/shop), VERDICT_KEY: an API key with
 * the scope `decide`.
 *
 * API Gateway keeps an answer under the identity sources alone, so these must name all that the answer depends on: at least
 * the Authorization header, the method and the path. template.yaml beside this file does.
 */
const timeoutMs = 2_000;

export async function handler(event) {
  const request = requestOf(event);
  // Whoever may not be asked about is denied: this cannot be kept for somebody else, since the path is a part of the key.
  if (request === undefined) return answer(event, false);
  const response = await fetch(`${process.env.VERDICT_URL}/v1/gateway/forward-auth`, {
    headers: headersFor(request),
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
  });
  await response.body?.cancel();
  const decisionId = response.headers.get('x-verdict-decision-id') ?? '';
  switch (response.status) {
    case 200:
      return answer(event, true, { subject: response.headers.get('x-verdict-subject') ?? '', decisionId });
    case 401:
      // A REST API makes 401 of this very word; a HTTP API knows 403 alone.
      if (request.isRest) throw new Error('Unauthorized');
      return answer(event, false);
    case 403:
      return answer(event, false, { decisionId });
    default:
      // API Gateway answers 500, and keeps nothing.
      throw new Error(`Verdict did not answer: ${response.status}`);
  }
}

/** The client's request as the event describes it; undefined if two readers could take it for different ones. */
function requestOf(event) {
  if (event.version === '2.0') {
    const { http, domainName } = event.requestContext;
    // Values of a header that came twice are joined by a comma, which no credential holds.
    const authorization = event.headers?.authorization;
    if (authorization?.includes(',')) return undefined;
    return {
      isRest: false,
      method: http.method,
      target: targetOf(event.rawPath, event.rawQueryString),
      host: domainName,
      address: http.sourceIp,
      authorization,
    };
  }
  if (event.type !== 'REQUEST') {
    throw new Error('The authorizer must be of the type REQUEST: the key of a TOKEN authorizer is the token alone');
  }
  const authorizations = Object.entries(event.multiValueHeaders ?? {})
    .filter(([name]) => name.toLowerCase() === 'authorization')
    .flatMap(([, values]) => values);
  if (authorizations.length > 1) return undefined;
  const query = Object.entries(event.multiValueQueryStringParameters ?? {}).flatMap(([name, values]) =>
    values.map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
  );
  return {
    isRest: true,
    method: event.httpMethod,
    target: targetOf(event.path, query.join('&')),
    host: event.requestContext.domainName,
    address: event.requestContext.identity.sourceIp,
    authorization: authorizations[0],
  };
}

/**
 * Path and query as a client would send them. API Gateway may have decoded the path once; an escape that is left is passed on as it
 * is, so that Verdict sees a path that was encoded twice, and refuses it.
 */
function targetOf(path, query) {
  const escaped = path.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/gu, (character) => encodeURIComponent(character));
  return query ? `${escaped}?${query}` : escaped;
}

function headersFor({ method, target, host, address, authorization }) {
  return {
    'x-api-key': process.env.VERDICT_KEY,
    'x-forwarded-method': method,
    'x-forwarded-uri': target,
    'x-forwarded-host': host,
    'x-forwarded-proto': 'https',
    'x-forwarded-for': address,
    ...(authorization !== undefined && { authorization }),
  };
}

function answer(event, isAllowed, context = {}) {
  if (event.version === '2.0') return { isAuthorized: isAllowed, context };
  // In a policy these stand for other resources, so that an answer about one path would be one about many.
  const isPlain = !/[*?$]/.test(event.methodArn);
  const statement = {
    Action: 'execute-api:Invoke',
    Effect: isAllowed && isPlain ? 'Allow' : 'Deny',
    Resource: isPlain ? event.methodArn : '*',
  };
  return {
    principalId: context.subject || 'unknown',
    policyDocument: { Version: '2012-10-17', Statement: [statement] },
    context,
  };
}
