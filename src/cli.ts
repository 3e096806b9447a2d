#!/usr/bin/env node
import { describeConfig } from './config.js';
import { localDefaults, readConfigOrExit, serve } from './serve.js';

const USAGE = `verdict: a policy decision point

  verdict serve [--local]          run the service; --local: policies in ./policies, no authentication
  verdict config check [--local]   print the effective configuration, secrets masked

Exit codes: 0 fine, 2 wrong usage, 78 wrong configuration. docs/configuration.md lists the environment variables.
`;

const args = process.argv.slice(2);
const local = args.includes('--local');
const command = args.filter((arg) => arg !== '--local').join(' ');

switch (command) {
  case 'serve':
    await serve(process.env, local ? localDefaults : {});
    break;
  case 'config check': {
    const read = readConfigOrExit(process.env, local ? localDefaults : {});
    for (const warning of read.warnings) process.stderr.write(`warning: ${warning}\n`);
    process.stdout.write(`${describeConfig(read)}\n`);
    break;
  }
  case 'help':
  case '--help':
  case '-h':
    process.stdout.write(USAGE);
    break;
  default:
    process.stderr.write(command === '' ? USAGE : `verdict: there is no command "${command}"\n\n${USAGE}`);
    process.exitCode = 2;
}
