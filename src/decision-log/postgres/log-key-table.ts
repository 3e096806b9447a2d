import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { CertifiedKey } from '../proof/log-keys.js';

/** Notes the public keys that sign for a replica (1764400000004-proof.ts). */
export async function addKeys(
  client: Pick<PostgresClient, 'write'>,
  table: (name: string) => string,
  keys: readonly CertifiedKey[],
): Promise<void> {
  for (const { key, certificates } of keys) {
    await client.write(
      // What a key that was replaced has certified is kept.
      `INSERT INTO ${table('decision_key')} AS k (key, certificates) VALUES ($1, $2)
       ON CONFLICT (key) DO UPDATE SET certificates = (SELECT coalesce(json_agg(c), '[]')::text FROM (
         SELECT json_array_elements_text(excluded.certificates::json) AS c
         UNION SELECT json_array_elements_text(k.certificates::json)) all_of_them)`,
      [key, JSON.stringify(certificates)],
    );
  }
}
