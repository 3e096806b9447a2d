import { join } from 'node:path';
import { type Config, listIn } from '../../config/config.js';
import { dataFolderOf } from '../../config/data-folder.js';
import { parseDuration } from '../../core/duration.js';
import type { BundlePins } from './bundle-pins.js';
import { BundleShelf } from './bundle-shelf.js';
import { BundleSource } from './bundle-source.js';
import { openTransport } from './open-transport.js';
import { TrustedKeys } from './trusted-keys.js';

/** In the folder of this replica. */
const shelfName = 'verdict.bundles';

/**
 * Makes the source that the configuration describes.
 *
 * @param env where S3 finds its credentials
 * @param pins what all replicas of the database were told to roll back to; undefined where there is one alone
 * @throws Error when they are missing
 */
export function bundleSourceOf(
  config: Config,
  env: NodeJS.ProcessEnv,
  onProblem: (what: string, error: unknown) => void,
  pins?: BundlePins,
): BundleSource {
  const { bundleUrl = '', bundleKeys, bundlePoll } = config;
  const transport = openTransport(bundleUrl, env);
  return new BundleSource({
    transport,
    keys: bundleKeys === undefined ? undefined : new TrustedKeys(listIn(bundleKeys)),
    shelf: new BundleShelf(join(dataFolderOf(config), shelfName), transport.place),
    pollMs: parseDuration(bundlePoll)!,
    pins,
    onProblem,
  });
}
