import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { SqliteManagedKeys } from '../../../src/auth/sqlite/sqlite-managed-keys.js';
import { describeManagedKeys } from '../managed-keys-suite.js';

describeManagedKeys('SQLite', () => {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-managed-keys-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return {
    open: async () => {
      const keys = await SqliteManagedKeys.open(join(directory, 'verdict.sqlite'));
      onTestFinished(() => keys.close());
      return keys;
    },
  };
});
