/**
 * A Cloudflare Worker that asks Verdict before a request goes to the origin. Nothing goes forward without an answer 200, and
 * nothing is kept: each request is asked about.
 *
 * Variables: VERDICT_URL (https://pdp.example, or its base for a set: https://pdp.example/sets/shop), ORIGIN_URL (optional: where
 * requests go; by default to the origin of the route). Secret: VERDICT_KEY, an API key with the scope `decide`.
 */
const timeoutMs = 2_000;

export default {
  async fetch(request, env) {
    // What the origin will read: the parser has removed dot segments already, so both see the same path.
    const url = new URL(request.url);
    const answer = await ask(request, url, env);
    if (answer === undefined) return refusal(503, { 'retry-after': '1' });
    const { status, headers } = answer;
    if (status === 401) return refusal(401, { 'www-authenticate': headers.get('www-authenticate') ?? 'Bearer' });
    if (status === 403) return refusal(403);
    if (status !== 200) return refusal(503, { 'retry-after': '1' });

    const forwarded = new Headers(request.headers);
    for (const name of ['x-verdict-subject', 'x-verdict-decision-id']) {
      const value = headers.get(name);
      if (value === null) forwarded.delete(name);
      else forwarded.set(name, value);
    }
    forwarded.delete('x-forwarded-user');
    const target = env.ORIGIN_URL === undefined ? url : new URL(url.pathname + url.search, env.ORIGIN_URL);
    return fetch(new Request(target, new Request(request, { headers: forwarded, redirect: 'manual' })));
  },
};

/** Undefined if there is no answer. */
async function ask(request, url, env) {
  const headers = new Headers({
    'x-api-key': env.VERDICT_KEY,
    'x-forwarded-method': request.method,
    'x-forwarded-uri': url.pathname + url.search,
    'x-forwarded-host': url.host,
    'x-forwarded-proto': url.protocol.slice(0, -1),
  });
  // Cloudflare sets it over whatever the client sent.
  const client = request.headers.get('cf-connecting-ip');
  if (client !== null) headers.set('x-forwarded-for', client);
  const authorization = request.headers.get('authorization');
  if (authorization !== null) headers.set('authorization', authorization);
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await fetch(`${env.VERDICT_URL}/v1/gateway/forward-auth`, { headers, redirect: 'manual', signal });
    await answer.body?.cancel();
    return answer;
  } catch (error) {
    console.error(`Verdict did not answer: ${error}`);
    return undefined;
  }
}

function refusal(status, headers = {}) {
  return new Response(null, { status, headers: { ...headers, 'cache-control': 'no-store' } });
}
