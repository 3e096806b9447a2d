#!/usr/bin/env node
/**
 * Asks a decision point whether it does what the AuthZEN Authorization API 1.0 requires:
 *
 *     npm run conformance:authzen -- --url https://pdp.example.com [--token KEY] [--ca FILE] [--verbose]
 *
 * The service must serve the policy set in test/fixtures/authzen-certification under that URL. Exit code 1 when a
 * requirement is not met. What a level SHOULD do counts as well: this project does it.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Client } from './conformance/client.mjs';
import { levels } from './conformance/requirements.mjs';

/** @returns what became of each requirement: `passed`, `skipped` with a reason, or `failed` with one */
export async function runConformance(client, only = Object.keys(levels)) {
  const results = [];
  for (const level of only) {
    for (const requirement of levels[level]) {
      const { section, says, level: word } = requirement;
      results.push({ level, section, says: `${word}: ${says}`, ...(await outcomeOf(requirement, client)) });
    }
  }
  return results;
}

async function outcomeOf({ check, skip }, client) {
  try {
    const reason = await skip?.(client);
    if (reason) return { outcome: 'skipped', reason };
    await check(client);
    return { outcome: 'passed' };
  } catch (error) {
    return { outcome: 'failed', reason: error.message };
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      token: { type: 'string' },
      ca: { type: 'string' },
      level: { type: 'string', multiple: true },
      verbose: { type: 'boolean' },
    },
  });
  if (values.url === undefined) {
    console.error(
      'usage: npm run conformance:authzen -- --url <base URL> [--token KEY] [--ca FILE] [--level NAME] [--verbose]',
    );
    process.exit(2);
  }
  const client = new Client(values.url.replace(/\/$/, ''), {
    token: values.token,
    ca: values.ca === undefined ? undefined : readFileSync(values.ca),
  });
  const results = await runConformance(client, values.level);
  const counts = { passed: 0, skipped: 0, failed: 0 };
  for (const { outcome, section, says, reason } of results) {
    counts[outcome]++;
    if (outcome !== 'passed' || values.verbose)
      console.log(`${outcome}  ${section}  ${says}${reason ? `\n        ${reason}` : ''}`);
  }
  console.log(`${counts.passed} passed, ${counts.skipped} skipped, ${counts.failed} failed`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
