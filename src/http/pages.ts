/** The pages for people, beside Swagger UI. Each is one file that loads nothing and runs only its own script. */
import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A page and its Content-Security-Policy, which allows only what is in the page. */
export interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

const pageStyle = `
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1rem; color: #1a2233; }
h1 { font-size: 1.5rem; }
label { display: block; margin: 1.5rem 0 0.25rem; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: 0.5rem; border: 1px solid #8892a6; border-radius: 4px; }
button { font: inherit; margin-top: 1rem; padding: 0.5rem 1.25rem; border: 0; border-radius: 4px; background: #1f4fd8; color: #fff; }
#problem { color: #b00020; min-height: 1.5rem; }
code { background: #eef1f6; padding: 0.1rem 0.3rem; border-radius: 3px; }
`;

/**
 * The sign-in page: exchanges an API key for a session, whose cookie scripts cannot read, then loads the page that was
 * asked for. `base` is the path in front of the service, without a slash at its end.
 */
export function signInPage(base: string): Page {
  const script = `
const form = document.querySelector('form');
const problem = document.querySelector('#problem');
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  problem.textContent = '';
  const key = form.elements.key.value.trim();
  const headers = { 'content-type': 'application/json' };
  try {
    headers['x-api-key'] = key;
    const answer = await fetch(${JSON.stringify(`${base}/v1/session`)}, { method: 'POST', headers });
    if (answer.ok) location.reload();
    else problem.textContent = (await answer.json()).detail;
  } catch {
    problem.textContent = 'The service cannot be reached, or this is no API key.';
  }
});
`;
  return page(
    'Sign in to Verdict',
    `<h1>Sign in to Verdict</h1>
<p>With an API key you can read the documentation of the API here, and try it with what the key may do.</p>
<form>
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="off" spellcheck="false" placeholder="vd_…" required autofocus>
<button>Sign in</button>
<p id="problem" role="alert"></p>
</form>
<p>The key is exchanged for a cookie that ends after eight hours, or half an hour after it was last used. Programs send the key itself:
<code>Authorization: Bearer vd_…</code></p>
<noscript><p>The page needs JavaScript to sign in.</p></noscript>`,
    script,
  );
}

/** The front page, with links to the other pages; `base` as in `signInPage`. */
export function frontPage(base: string): Page {
  return page(
    'Verdict',
    `<h1>Verdict</h1>
<p>A policy decision point: services ask here whether a subject may do an action on a resource.</p>
<ul>
<li><a href="${base}/docs">Documentation of the API</a>, where each call can be tried</li>
<li><a href="${base}/docs-json">The same as an OpenAPI document</a></li>
<li><a href="${base}/v1/policy-sets">The policy sets that are served</a></li>
<li><a href="${base}/v1/decisions">The newest decisions</a></li>
<li><a href="${base}/health">How the service is</a></li>
</ul>`,
  );
}

function page(title: string, body: string, script?: string): Page {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${pageStyle}</style>
</head>
<body>
${body}
${script === undefined ? '' : `<script>${script}</script>`}
</body>
</html>
`;
  const directives = [
    "default-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    `style-src ${digestOf(pageStyle)}`,
    ...(script === undefined ? [] : [`script-src ${digestOf(script)}`, "connect-src 'self'"]),
  ];
  return { html, contentSecurityPolicy: directives.join(';') };
}

function digestOf(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}

/** True if a browser asks for a page to show: it names `text/html`, which programs do not. */
export function isPerson({ method, headers }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && /\btext\/html\b/i.test(headers.accept ?? '');
}

export function sendPage(reply: FastifyReply, { html, contentSecurityPolicy }: Page): FastifyReply {
  return reply
    .header('content-security-policy', contentSecurityPolicy)
    .header('content-type', 'text/html; charset=utf-8')
    .send(html);
}
