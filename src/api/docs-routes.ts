/** `/docs-json`, the OpenAPI document, and `/docs`, where Swagger UI shows it to people: from this machine alone. */
import { createReadStream } from 'node:fs';
import { createRequire } from 'node:module';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { VerdictError } from '../errors.js';
import type { HttpLimits } from '../http/http-limits.js';
import { openApiDocument } from './openapi.js';

/** The files of swagger-ui-dist that the page loads, with their content types. */
const assets: ReadonlyMap<string, string> = new Map([
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', 'application/javascript; charset=utf-8'],
  ['swagger-ui-standalone-preset.js', 'application/javascript; charset=utf-8'],
  ['favicon-16x16.png', 'image/png'],
  ['favicon-32x32.png', 'image/png'],
]);

const initScript = 'swagger-ui-init.js';

/** The document is made when it is first asked for: it has the routes that are declared by then. */
export function registerDocs(fastify: FastifyInstance, limits: HttpLimits, version: string): void {
  const config = { access: 'authenticated' } as const;
  let made: string | undefined;
  /** The routes do not change once the service answers. */
  const documentText = () => {
    made ??= JSON.stringify(openApiDocument(fastify.declaredRoutes, limits, version));
    return made;
  };

  fastify.get('/docs-json', { config }, (_request, reply) => {
    reply.type('application/json; charset=utf-8').send(documentText());
  });

  const page = (folder: string) => (_request: unknown, reply: FastifyReply) => {
    reply.type('text/html; charset=utf-8').send(pageText(folder));
  };
  fastify.get('/docs', { config: { ...config, isPage: true } }, page('./docs/'));
  fastify.get('/docs/', { config: { ...config, isPage: true } }, page('./'));

  const { resolve } = createRequire(import.meta.url);
  fastify.get<{ Params: { file: string } }>('/docs/:file', { config }, ({ params: { file } }, reply) => {
    if (file === initScript) return reply.type('application/javascript; charset=utf-8').send(initText(documentText()));
    const type = assets.get(file);
    if (type === undefined) throw new VerdictError('not_found', `There is no file ${file} here.`);
    return reply.type(type).send(createReadStream(resolve(`swagger-ui-dist/${file}`)));
  });
}

/** `folder`: where the files are, from where the page is. Its scripts are files: the page's policy allows no others. */
function pageText(folder: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Verdict</title>
<link rel="stylesheet" href="${folder}swagger-ui.css">
<link rel="icon" type="image/png" href="${folder}favicon-32x32.png" sizes="32x32">
<link rel="icon" type="image/png" href="${folder}favicon-16x16.png" sizes="16x16">
</head>
<body>
<div id="swagger-ui"></div>
<script src="${folder}swagger-ui-bundle.js"></script>
<script src="${folder}swagger-ui-standalone-preset.js"></script>
<script src="${folder}${initScript}"></script>
</body>
</html>
`;
}

/** No validator of others is asked. With a session (`POST /v1/session`) each request repeats its CSRF token. */
function initText(document: string): string {
  return `window.onload = () => {
  const sendCsrfToken = (request) => {
    const cookie = document.cookie.split('; ').find((each) => each.startsWith('verdict-csrf='));
    if (cookie !== undefined) request.headers['x-csrf-token'] = cookie.slice('verdict-csrf='.length);
    return request;
  };
  window.ui = SwaggerUIBundle({
    "validatorUrl": "none",
    "dom_id": "#swagger-ui",
    "deepLinking": true,
    "layout": "StandaloneLayout",
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
    requestInterceptor: sendCsrfToken,
    spec: ${document},
  });
};
`;
}
