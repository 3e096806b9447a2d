import type { Command } from 'commander';
import { outputOption } from '../options.js';
import type { Terminal } from '../print/terminal.js';
import { addServerOptions, askServer, type ServerOptions } from '../sources/server.js';

/** `ofBuild` makes the document of the service that this command is a part of. */
export function addOpenApiCommand(program: Command, terminal: Terminal, ofBuild: () => Promise<object>): void {
  const command = program
    .command('openapi')
    .summary('print the OpenAPI document of the service')
    .description(
      'Prints the OpenAPI 3.1 document that a service of this build answers at /docs-json, without starting one; with --url\n' +
        'that of a running service.',
    );
  addServerOptions(command)
    .addOption(outputOption('json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict openapi > openapi.json\n  verdict openapi --url http://127.0.0.1:3000\n',
    )
    .action(async (options: ServerOptions) => {
      const document = options.url === undefined ? await ofBuild() : await askServer(options, 'GET', '/docs-json');
      terminal.printJson(document);
    });
}
